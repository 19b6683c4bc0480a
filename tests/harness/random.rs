//! Random numbers that can be repeated: a failing run says its seed.

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    /// From `TRIPLINE_TEST_SEED`, else a new one; either way it is printed.
    pub(crate) fn announced(what: &str) -> Self {
        let seed = match std::env::var("TRIPLINE_TEST_SEED") {
            Ok(text) => text.parse().expect("TRIPLINE_TEST_SEED is a number"),
            Err(_) => Self::from_entropy().0,
        };
        println!("{what}: TRIPLINE_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn from_entropy() -> Self {
        Self((uuid::Uuid::new_v4().as_u128() & u128::from(u64::MAX)) as u64)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `bound`, without it.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

//! Who reports processes, for the tests with a LittleBrother client: what `tests/littlebrother` has for it.

#[expect(dead_code, reason = "tests/littlebrother uses all of it, this binary a part")]
#[path = "../littlebrother/peers/person.rs"]
mod person;

pub(crate) use person::Person;

/// The secret that client and server share.
pub(crate) const SECRET: &str = "the secret of the music room";

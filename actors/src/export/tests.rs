//! An export holds what was acknowledged before it began, and comes back as it was; a damaged one never does.

use super::*;
use crate::artifact::{ArtifactStore, note_use};
use crate::clock::SystemClock;
use crate::store::{Batch, OpenError, Options, Store, Table};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use tempfile::TempDir;
use tripline_protocol::{JobId, Org, Sha256};
use uuid::Uuid;

fn open(dir: &Path) -> Store {
    Store::open(&Options {
        disk_free_min: 0,
        ..Options::new(dir)
    })
    .unwrap()
}

fn commit(store: &Store, batch: Batch) {
    let (done, wait) = channel();
    store.commit(batch, move || done.send(()).unwrap());
    wait.recv().unwrap();
}

struct World {
    dir: TempDir,
    store: Store,
    artifacts: Arc<ArtifactStore>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let artifacts = Arc::new(ArtifactStore::open(dir.path(), u64::MAX).unwrap());
        Self {
            dir,
            store,
            artifacts,
        }
    }

    /// Rows of several tables, one longer than an entry, and artifacts that a job has.
    fn filled() -> Self {
        let world = Self::new();
        let mut batch = Batch::new();
        for n in 0..700_u32 {
            batch.put(Table::Job, n.to_be_bytes(), vec![7; 300]);
            batch.put(Table::HandledEvent, n.to_be_bytes(), Vec::new());
        }
        batch.put(Table::Outbox, b"long".to_vec(), vec![9; 70_000]);
        for content in [&b""[..], b"short", &[3; 600_000]] {
            let (sha256, _) = world.artifacts.put_bytes(content).unwrap();
            for job in 0..2 {
                note_use(
                    &mut batch,
                    &sha256,
                    &Org::default_org(),
                    JobId(Uuid::from_u128(job)),
                );
            }
        }
        commit(&world.store, batch);
        world
    }

    fn exporter(&self) -> Exporter {
        let clock = Arc::new(SystemClock::default());
        Exporter::new(
            self.store.clone(),
            self.artifacts.clone(),
            clock,
            self.dir.path(),
            0,
        )
    }

    fn export(&self, artifacts: bool) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export");
        self.exporter().write_file(&path, artifacts).unwrap();
        (folder, path)
    }
}

fn rows(store: &Store) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let mut snapshot = store.snapshot().unwrap();
    let mut rows = Vec::new();
    loop {
        let page = snapshot.next_page().unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page.into_iter().map(|row| (row.table, row.key, row.value)));
    }
}

fn take(file: &Path, data_dir: &Path) -> Result<Imported, Error> {
    let (imported, built) = import(file, data_dir, &mut |_, _| {})?;
    built.put_in_place()?;
    Ok(imported)
}

fn check(file: &Path) -> Result<Imported, Error> {
    verify(file, &mut |_, _| {})
}

#[test]
fn an_export_comes_back_as_it_was() {
    let world = World::filled();
    let (_folder, file) = world.export(true);
    let to = tempfile::tempdir().unwrap();
    let imported = take(&file, to.path()).unwrap();
    assert_eq!(imported.totals.tables[&(Table::Job as u8)], 700);
    assert_eq!(imported.totals.artifacts, 3);
    assert_eq!(imported.totals.artifact_bytes, 600_005);
    let store = open(to.path());
    assert!(rows(&store) == rows(&world.store));
    let artifacts = ArtifactStore::open(to.path(), u64::MAX).unwrap();
    let digest = sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix([3; 600_000]));
    assert_eq!(
        artifacts
            .open_read(&Sha256::from_digest(&digest.into()))
            .unwrap()
            .1,
        600_000
    );
    // It goes on like any store.
    let mut batch = Batch::new();
    batch.put(Table::Job, b"new".to_vec(), b"row".to_vec());
    commit(&store, batch);
}

#[test]
fn artifacts_are_left_out_unless_they_are_wanted() {
    let world = World::filled();
    let (_folder, file) = world.export(false);
    let totals = check(&file).unwrap().totals;
    assert_eq!((totals.artifacts, totals.artifact_bytes), (0, 0));
    assert!(file.metadata().unwrap().len() < 500_000);
}

#[test]
fn an_export_is_for_its_owner_only_and_a_spooled_one_has_no_name() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::filled();
    let (_folder, file) = world.export(false);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut before: Vec<_> = names(world.dir.path());
    let spooled = world.exporter().spool(true).unwrap();
    assert_eq!(spooled.file.metadata().unwrap().len(), spooled.made.bytes);
    before.sort();
    let mut after = names(world.dir.path());
    after.sort();
    assert_eq!(before, after);
}

fn names(dir: &Path) -> Vec<std::ffi::OsString> {
    let names = dir.read_dir().unwrap();
    names.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn an_artifact_that_a_row_names_is_not_swept_while_an_export_is_made() {
    let world = World::filled();
    let kept = world.artifacts.keep_all();
    let none = std::time::Duration::ZERO;
    let (unused, _) = world.artifacts.put_bytes(b"nobody's").unwrap();
    assert_eq!(world.artifacts.sweep(&world.store, none).unwrap().artifacts, 0);
    drop(kept);
    // A content counts as brought in the tick of the file system's clock it was written in.
    while world.artifacts.exists(&unused) {
        world.artifacts.sweep(&world.store, none).unwrap();
    }
}

#[test]
fn an_export_cut_anywhere_is_refused() {
    let world = World::filled();
    let (folder, file) = world.export(true);
    let whole = std::fs::read(&file).unwrap();
    let cut = folder.path().join("cut");
    let ends = (0..64).chain((64..whole.len()).step_by(whole.len() / 150));
    for end in ends.chain(whole.len() - 50..whole.len()) {
        std::fs::write(&cut, &whole[..end]).unwrap();
        let error = check(&cut).unwrap_err();
        assert!(matches!(error, Error::Cut { .. }), "cut at {end}: {error}");
    }
}

#[test]
fn an_export_with_more_behind_its_end_is_refused() {
    let world = World::filled();
    let (_folder, file) = world.export(false);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.push(b'E');
    std::fs::write(&file, bytes).unwrap();
    assert!(matches!(check(&file), Err(Error::Damaged { .. })));
}

#[test]
fn a_block_that_is_missing_repeated_or_moved_is_found() {
    let world = World::filled();
    let (_folder, file) = world.export(true);
    let whole = std::fs::read(&file).unwrap();
    let mut blocks = Vec::new();
    let mut at = 16;
    while at < whole.len() {
        let length = u32::from_be_bytes(whole[at + 1..at + 5].try_into().unwrap()) as usize;
        blocks.push(whole[at..at + 5 + length + 32].to_vec());
        at += 5 + length + 32;
    }
    assert!(blocks.len() > 6);
    let refused = |blocks: Vec<Vec<u8>>| {
        std::fs::write(&file, [&whole[..16], &blocks.concat()].concat()).unwrap();
        check(&file).unwrap_err();
    };
    for n in 0..blocks.len() {
        let mut changed = blocks.clone();
        changed.remove(n);
        refused(changed);
        let mut changed = blocks.clone();
        changed.insert(n, blocks[n].clone());
        refused(changed);
        if n > 0 {
            let mut changed = blocks.clone();
            changed.swap(n, n - 1);
            refused(changed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_is_found_wherever_it_is(place in 0.0..1.0_f64, bit in 0..8_u8) {
        use std::sync::LazyLock;
        static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let world = World::filled();
            let (_folder, file) = world.export(true);
            std::fs::read(file).unwrap()
        });
        let mut bytes = WHOLE.clone();
        let at = (place * bytes.len() as f64) as usize;
        bytes[at] ^= 1 << bit;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("export");
        std::fs::write(&file, bytes).unwrap();
        prop_assert!(check(&file).is_err(), "byte {at}");
        let to = folder.path().join("data");
        prop_assert!(take(&file, &to).is_err());
        prop_assert!(!to.exists(), "an import touched the directory before it had read the export");
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_take_much_memory(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for begin in [&b""[..], b"tripline-export\n", b"tripline-export\nH\0\0\0\x02{}", b"tripline-export\nR\xff"] {
            let all = [begin, &bytes].concat();
            prop_assert!(Reader::begin(all.as_slice(), 1).is_err());
        }
    }
}

#[test]
fn something_that_is_no_export_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export");
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----").unwrap();
    let error = check(&file).unwrap_err().to_string();
    assert!(error.contains("no export of tripline"), "{error}");
}

fn written(store_format: u32, rows: &[(Table, &[u8], &[u8])]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = ArtifactStore::open(dir.path(), 1).unwrap();
    let mut writer = Writer::begin(Vec::new(), store_format, Timestamp::default(), false).unwrap();
    for (table, key, value) in rows {
        let row = crate::store::TableRow {
            table: *table as u8,
            key: key.to_vec(),
            value: value.to_vec(),
        };
        writer.row(&row).unwrap();
    }
    writer.finish(&artifacts).unwrap().0
}

#[test]
fn a_newer_format_is_refused_and_an_older_one_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export");
    let newest = Store::newest_format();
    std::fs::write(&file, written(newest + 1, &[])).unwrap();
    let error = check(&file).unwrap_err();
    assert!(
        matches!(error, Error::Newer { found, .. } if found == newest + 1),
        "{error}"
    );
    assert!(newest > 1, "there is an older format");
    std::fs::write(&file, written(1, &[(Table::Job, b"a", b"1")])).unwrap();
    let to = folder.path().join("data");
    take(&file, &to).unwrap();
    assert_eq!(
        std::fs::read_to_string(to.join("store/FORMAT")).unwrap(),
        format!("{newest}\n")
    );
    assert_eq!(open(&to).get(Table::Job, b"a").unwrap().unwrap(), b"1");
}

#[test]
fn rows_that_no_store_can_have_or_out_of_order_are_refused_though_every_hash_is_right() {
    for rows in [
        &[(Table::Job, &b"b"[..], &b""[..]), (Table::Job, b"a", b"")][..],
        &[(Table::Job, b"a", b""), (Table::Job, b"a", b"")],
        &[(Table::Host, b"a", b""), (Table::Job, b"a", b"")],
        &[(Table::Chunk, b"a", b"")],
        &[(Table::Meta, b"store/format", b"\0\0\0\x01")],
        &[(Table::Job, &[1; 1025], b"")],
    ] {
        let bytes = written(1, rows);
        let mut reader = Reader::begin(bytes.as_slice(), 1).unwrap();
        assert!(
            matches!(reader.next_item(), Err(Error::Damaged { .. })),
            "{rows:?}"
        );
    }
}

#[test]
fn a_store_is_never_imported_over() {
    let world = World::filled();
    let (folder, file) = world.export(false);
    let to = folder.path().join("data");
    drop(open(&to));
    let error = take(&file, &to).unwrap_err();
    assert!(
        matches!(&error, Error::Open(OpenError::NotEmpty { found, .. }) if found == "store"),
        "{error}"
    );
    assert!(error.to_string().contains("--data-dir"));
    assert!(rows(&open(&to)).is_empty());
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.txt"), "mine").unwrap();
    assert!(take(&file, &other).is_err());
}

#[test]
fn a_directory_that_is_in_use_is_not_imported_into() {
    let world = World::filled();
    let (_folder, file) = world.export(false);
    let error = take(&file, world.dir.path()).unwrap_err();
    assert!(matches!(error, Error::Open(OpenError::Held { .. })), "{error}");
}

#[test]
fn an_import_that_did_not_end_is_known_as_one_and_can_be_done_again() {
    let world = World::filled();
    let (folder, file) = world.export(true);
    let to = folder.path().join("data");
    let (_, built) = import(&file, &to, &mut |_, _| {}).unwrap();
    // As if the process had died now: nothing of it is cleaned up, only its lock is gone.
    let frozen = folder.path().join("frozen");
    copy(&to, &frozen);
    drop(built);
    for _ in 0..2 {
        let error = Store::open(&Options::new(&frozen)).map(drop).unwrap_err();
        assert!(
            matches!(error, OpenError::Unfinished { verb: "import", .. }),
            "{error}"
        );
    }
    assert!(!frozen.join("store").exists());
    take(&file, &frozen).unwrap();
    assert!(rows(&open(&frozen)) == rows(&world.store));
    // One that ended in order before its place left nothing.
    assert!(!to.join("store.importing").exists());
    assert!(rows(&open(&to)).is_empty());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn nothing_is_written_when_the_disk_would_get_too_full() {
    let world = World::filled();
    let clock = Arc::new(SystemClock::default());
    let exporter = Exporter::new(
        world.store.clone(),
        world.artifacts.clone(),
        clock,
        world.dir.path(),
        u64::MAX,
    );
    let error = exporter.spool(false).unwrap_err();
    assert!(matches!(error, Error::Room { .. }), "{error}");
    let path = world.dir.path().join("file");
    assert!(exporter.write_file(&path, false).is_err());
    assert!(!path.exists());
    // And nothing is left of the attempt that would hinder the next.
    assert!(world.exporter().spool(false).is_ok());
}

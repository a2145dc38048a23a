//! The archive of a context: what is in it, that it is the same every time, and what becomes of it when the files change
//! under it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use agentcore_docker::BuildRequest;
use agentcore_docker::context::{
    ContextError, ContextFile, Extra, ExtraContent, FileKind, IgnoreRules, archive, files,
};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, TryStreamExt, pin_mut};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::support::Things;
use crate::support::docker::{Docker, Image, read};

/// The whole stream, or its error.
async fn collect(
    stream: impl Stream<Item = io::Result<Bytes>>,
) -> Result<Vec<u8>, Box<ContextError>> {
    let chunks: Result<Vec<Bytes>, io::Error> = stream.try_collect().await;
    match chunks {
        Ok(chunks) => Ok(chunks.concat()),
        Err(error) => {
            let inner = error.into_inner().unwrap();
            Err(inner.downcast::<ContextError>().unwrap())
        }
    }
}

async fn whole(folder: &Path) -> Vec<u8> {
    let list = files(folder, &IgnoreRules::default());
    collect(archive(folder, list, Vec::new())).await.unwrap()
}

/// Everything that a folder can have and that a container image may have a different idea of.
fn rich_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |path: &[u8], content: &[u8], mode: u32| {
        let path = root.join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write(b"Dockerfile", b"FROM scratch\nCOPY . /context/\n", 0o644);
    for (name, mode) in [
        ("run.sh", 0o755),
        ("mine", 0o600),
        ("fixed", 0o444),
        ("ours", 0o664),
    ] {
        write(name.as_bytes(), name.as_bytes(), mode);
    }
    for len in [
        0, 1, 511, 512, 513, 65_023, 65_024, 65_535, 65_536, 65_537, 300_000,
    ] {
        let content: Vec<u8> = (0..len)
            .map(|at: usize| (at % 251).to_le_bytes()[0])
            .collect();
        write(format!("sizes/{len}").as_bytes(), &content, 0o644);
    }
    // Lengths around those of the fields for names.
    for len in [98, 99, 100, 101, 155, 156, 255] {
        write(
            format!("long/{}", "n".repeat(len)).as_bytes(),
            b"long",
            0o644,
        );
        fs::create_dir(root.join(format!("long/{}", "f".repeat(len)))).unwrap();
        symlink("t".repeat(len), root.join(format!("long/to-{len}"))).unwrap();
    }
    write(
        format!("{}x", "deep/folder/".repeat(60)).as_bytes(),
        b"deep",
        0o644,
    );
    write(b"bytes/\xff\xfe", b"no text", 0o644);
    write("bytes/Grüße 😀\n\\ \"".as_bytes(), b"text", 0o644);
    write(
        &[b"bytes/".as_slice(), &[0xe9; 120]].concat(),
        b"long, no text",
        0o644,
    );
    symlink(OsStr::from_bytes(b"\xff"), root.join("bytes/link")).unwrap();
    for (name, target) in [
        ("dangling", "nowhere"),
        ("absolute", "/etc/hostname"),
        ("up", "../../x"),
        ("to-folder", "sizes"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    fs::hard_link(root.join("run.sh"), root.join("run-too.sh")).unwrap();
    fs::create_dir(root.join("sticky")).unwrap();
    fs::set_permissions(root.join("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    mknodat(
        CWD,
        root.join("pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    fs::set_permissions(root.join("pipe"), fs::Permissions::from_mode(0o644)).unwrap();
    folder
}

#[tokio::test]
async fn an_engine_reads_from_it_what_the_docker_command_sends() {
    let (Some(docker), Some(things)) = (Docker::here(), Things::new().await) else {
        return;
    };
    let folder = rich_folder();
    let expected = docker.build(folder.path()).unwrap();
    let request = BuildRequest {
        dockerfile: "Dockerfile".into(),
        tag: format!("{}:1", things.name),
        labels: things.labels(),
        no_cache: true,
        ..BuildRequest::default()
    };
    let list = files(folder.path(), &IgnoreRules::default());
    let context = archive(folder.path(), list, Vec::new());
    things
        .engine
        .build(&request, context, &mut |_| {})
        .await
        .unwrap();
    let built = docker.export(&request.tag).unwrap();

    let (built, expected) = (built.below("context"), expected.below("context"));
    let names =
        |image: &std::collections::BTreeMap<_, _>| image.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&built), names(&expected));
    for (name, entry) in &built {
        assert!(
            *entry == expected[name],
            "{name:?}: {entry:?} instead of {:?}",
            expected[name]
        );
    }
    // Both could be wrong in the same way.
    assert_eq!(
        built[OsStr::from_bytes(b"bytes/\xff\xfe")].content,
        b"no text"
    );
    assert_eq!(built[OsStr::new("mine")].mode & 0o777, 0o600);
    assert_eq!(built[OsStr::new("sizes/300000")].content.len(), 300_000);
    assert_eq!(
        built[OsStr::new("up")].link.as_deref(),
        Some(OsStr::new("../../x"))
    );
    assert_eq!(built[OsStr::new("pipe")].kind, tar::EntryType::Fifo);
}

#[tokio::test]
async fn the_same_files_make_the_same_bytes() {
    let (one, other) = (rich_folder(), rich_folder());
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::open(other.path().join("run.sh"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    let first = whole(one.path()).await;
    assert_eq!(first.len() % 512, 0);
    assert!(first == whole(one.path()).await && first == whole(other.path()).await);

    let Image(entries) = read(&first);
    assert!(entries.values().all(|it| it.owner == (0, 0)));
    for entry in tar::Archive::new(first.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 315_619_200);
        assert_eq!(entry.header().username_bytes(), Some(b"".as_slice()));
    }
}

#[tokio::test]
async fn extras_are_added_in_order_and_win() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a/file", "b", "z/last"] {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), "own").unwrap();
    }
    let program = folder.path().join("z/last");
    let extra = |path: &str, content: ExtraContent, mode: u32| Extra {
        path: path.into(),
        content,
        mode,
    };
    let text = |text: &str| ExtraContent::Bytes(text.as_bytes().to_vec());
    let extras = vec![
        extra("z/zz/deep/x", text("x"), 0o600),
        extra("b", text("replaced"), 0o755),
        extra(".new/sub/program", ExtraContent::File(program), 0o755),
        extra(".new/Dockerfile", text("FROM scratch"), 0o644),
        extra("a/b", text("beside"), 0o644),
    ];
    let rules = IgnoreRules::parse(b"z/zz").unwrap();
    let bytes = collect(archive(folder.path(), files(folder.path(), &rules), extras))
        .await
        .unwrap();
    let mut told = Vec::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        io::Read::read_to_string(&mut entry, &mut content).unwrap();
        let name = entry.path().unwrap().display().to_string();
        told.push(format!(
            "{name} {:o} {content}",
            entry.header().mode().unwrap()
        ));
    }
    let own = |name: &str| {
        let mode = fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        format!("{:o}", mode & 0o7777)
    };
    let expected = [
        ".new/ 755 ",
        ".new/Dockerfile 644 FROM scratch",
        ".new/sub/ 755 ",
        ".new/sub/program 755 own",
        &format!("a/ {} ", own("a")),
        "a/b 644 beside",
        &format!("a/file {} own", own("a/file")),
        "b 755 replaced",
        &format!("z/ {} ", own("z")),
        &format!("z/last {} own", own("z/last")),
        "z/zz/ 755 ",
        "z/zz/deep/ 755 ",
        "z/zz/deep/x 600 x",
    ];
    assert_eq!(told, expected);

    let alone = vec![extra("one", text("1"), 0o644)];
    let bytes = collect(archive(folder.path(), std::iter::empty(), alone))
        .await
        .unwrap();
    assert_eq!(read(&bytes).0.len(), 1);
}

#[tokio::test]
async fn an_extra_where_none_can_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    symlink("folder", folder.path().join("link")).unwrap();
    for paths in [
        &["/absolute"] as &[&str],
        &["../up"],
        &["a/../b"],
        &[""],
        &["."],
        &["folder"],
        &["file/in"],
        &["link/in"],
        &["x", "x/y"],
    ] {
        let extras = paths.iter().map(|path| Extra {
            path: path.into(),
            content: ExtraContent::Bytes(Vec::new()),
            mode: 0o644,
        });
        let list = files(folder.path(), &IgnoreRules::default());
        let error = collect(archive(folder.path(), list, extras.collect()))
            .await
            .unwrap_err();
        assert!(
            matches!(*error, ContextError::Misplaced { .. }),
            "{paths:?}: {error}"
        );
    }
}

/// The list of a folder with one file of 100,000 bytes, `file`, and others around it.
fn listed() -> (TempDir, Vec<ContextFile>) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "file", "z"] {
        fs::write(folder.path().join(name), vec![b'x'; 100_000]).unwrap();
    }
    let list = files(folder.path(), &IgnoreRules::default());
    let list = list.collect::<Result<_, _>>().unwrap();
    (folder, list)
}

#[tokio::test]
async fn a_file_that_changes_fails_the_archive() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("it is shorter", |path| {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(99_999)
                .unwrap();
        }),
        ("it is gone", |path| fs::remove_file(path).unwrap()),
        ("it is a link", |path| {
            fs::rename(path, path.with_extension("moved")).unwrap();
            symlink("file.moved", path).unwrap();
        }),
        ("it is a pipe", |path| {
            fs::remove_file(path).unwrap();
            mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        }),
        ("it is empty", |path| fs::write(path, "").unwrap()),
    ];
    for (what, change) in changes {
        let (folder, list) = listed();
        change(&folder.path().join("file"));
        let stream = archive(folder.path(), list.into_iter().map(Ok), Vec::new());
        let error = tokio::time::timeout(Duration::from_secs(20), collect(stream)).await;
        let error = error.expect("it must not hang").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`file` changed while it was read",
            "{what}"
        );
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn a_file_that_grows_is_sent_as_it_was_listed() {
    let (folder, list) = listed();
    fs::write(folder.path().join("file"), vec![b'y'; 400_000]).unwrap();
    let stream = archive(folder.path(), list.into_iter().map(Ok), Vec::new());
    let Image(entries) = read(&collect(stream).await.unwrap());
    assert_eq!(entries[OsStr::new("file")].content, vec![b'y'; 100_000]);
    assert_eq!(entries[OsStr::new("z")].content, vec![b'x'; 100_000]);
}

#[tokio::test]
async fn nothing_is_sent_after_an_error() {
    let (folder, list) = listed();
    fs::remove_file(folder.path().join("file")).unwrap();
    let stream = archive(folder.path(), list.into_iter().map(Ok), Vec::new());
    pin_mut!(stream);
    let mut sent = Vec::new();
    let mut errors = 0;
    while let Some(item) = stream.next().await {
        assert_eq!(errors, 0, "the error is the last item");
        match item {
            Ok(chunk) => sent.extend_from_slice(&chunk),
            Err(_) => errors += 1,
        }
    }
    assert_eq!(errors, 1);
    // What was sent ends amid the first file or behind it; the end of an archive is two empty blocks.
    assert!(!sent.ends_with(&[0; 1024]) || sent.len() < 100_000);
}

#[tokio::test]
async fn it_reads_no_further_ahead_than_a_few_chunks_and_ends_when_it_is_not_wanted() {
    let (folder, list) = listed();
    let listed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&listed);
    let endless = std::iter::repeat(list[1].clone()).map(move |file| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(file)
    });
    let mut stream = Box::pin(archive(folder.path(), endless, Vec::new()));
    assert!(stream.next().await.unwrap().is_ok());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ahead = listed.load(Ordering::Relaxed);
    assert!(
        (1..20).contains(&ahead),
        "{ahead} files of 100,000 bytes were read"
    );
    drop(stream);
    for _ in 0..500 {
        // The thread held the other one.
        if Arc::strong_count(&listed) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the thread still reads");
}

#[tokio::test]
async fn a_thread_that_dies_is_no_end() {
    let (folder, mut list) = listed();
    let first = list.remove(0);
    let dying = std::iter::once(first)
        .map(Ok)
        .chain(std::iter::from_fn(|| panic!("on purpose")));
    let stream = archive(folder.path(), dying, Vec::new());
    let items: Vec<io::Result<Bytes>> = stream.collect().await;
    let error = items.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.to_string(), "the context was not read to its end");
}

#[tokio::test]
async fn sizes_beyond_eight_gibibytes_have_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let len = 9 * 1024 * 1024 * 1024 + 5;
    // It takes no room on the disk, and only its beginning is read.
    File::create(folder.path().join("big"))
        .unwrap()
        .set_len(len)
        .unwrap();
    let list = files(folder.path(), &IgnoreRules::default());
    let mut stream = Box::pin(archive(folder.path(), list, Vec::new()));
    let chunk = stream.next().await.unwrap().unwrap();
    let header = tar::Header::from_byte_slice(&chunk[..512]);
    assert_eq!(header.size().unwrap(), len);
    assert_eq!(header.entry_type(), tar::EntryType::Regular);
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("open")).unwrap();
    fs::write(folder.path().join("open/closed"), "secret").unwrap();
    let closed = fs::Permissions::from_mode(0o000);
    fs::set_permissions(folder.path().join("open/closed"), closed.clone()).unwrap();
    let error = as_nobody(folder.path()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read `open/closed`");

    fs::remove_file(folder.path().join("open/closed")).unwrap();
    fs::create_dir(folder.path().join("open/shut")).unwrap();
    fs::set_permissions(folder.path().join("open/shut"), closed).unwrap();
    let error = as_nobody(folder.path()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read the folder `open/shut`");

    // Nobody needs to read what is left out.
    let rules = IgnoreRules::parse(b"open/shut").unwrap();
    let list: Vec<_> = files(folder.path(), &rules)
        .map(|it| it.unwrap().path)
        .collect();
    assert_eq!(list, [PathBuf::from("open")]);

    let error = files(&folder.path().join("missing"), &rules)
        .next()
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().ends_with("missing`"), "{error}");
}

/// Archives `folder` in a thread that has lost the powers of root, should the test be run by it.
async fn as_nobody(folder: &Path) -> Result<Vec<u8>, Box<ContextError>> {
    let anybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, anybody).unwrap();
    let list = files(folder, &IgnoreRules::default());
    let root = folder.to_owned();
    let started = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        // The thread that reads is a child of this one.
        archive(&root, list, Vec::new())
    });
    collect(started.join().unwrap()).await
}

#[test]
fn kinds_and_sizes_are_told() {
    let folder = rich_folder();
    let list = files(folder.path(), &IgnoreRules::default()).map(Result::unwrap);
    let kind = |name: &str| {
        let mut list = files(folder.path(), &IgnoreRules::default()).map(Result::unwrap);
        list.find(|it| it.path == Path::new(name))
            .map(|it| (it.kind, it.mode))
    };
    assert!(list.count() > 60);
    assert_eq!(
        kind("sizes/513"),
        Some((FileKind::File { len: 513 }, 0o644))
    );
    assert_eq!(kind("sticky"), Some((FileKind::Folder, 0o1777)));
    assert_eq!(kind("pipe"), Some((FileKind::Pipe, 0o644)));
    let (kind, _) = kind("absolute").unwrap();
    assert_eq!(
        kind,
        FileKind::Link {
            target: "/etc/hostname".into()
        }
    );
}

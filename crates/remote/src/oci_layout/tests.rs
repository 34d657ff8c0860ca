use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layout that a test makes.
struct Made {
    folder: TempDir,
    entries: Vec<String>,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("blobs/sha256")).expect("a folder");
        let made = Self {
            folder,
            entries: Vec::new(),
        };
        made.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        made.write("index.json", br#"{"schemaVersion":2,"manifests":[]}"#);
        made
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        fs::write(self.path(file), bytes).expect("the folder is ours");
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.write(&format!("blobs/sha256/{}", digest.hex()), bytes);
        digest
    }

    /// Puts a manifest into the index, with these annotations.
    fn entry(&mut self, manifest: &str, annotations: &str) -> Digest {
        let digest = self.blob(manifest.as_bytes());
        let size = manifest.len();
        self.entries.push(format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{size},"annotations":{{{annotations}}}}}"#
        ));
        self.index(&self.entries.join(","));
        digest
    }

    fn index(&self, entries: &str) {
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
        self.write("index.json", index.as_bytes());
    }

    fn open(&self) -> Result<OciLayout, Error> {
        OciLayout::open(self.folder.path())
    }

    fn resolve(&self, wanted: &Wanted) -> Result<Digest, String> {
        let layout = self.open().map_err(|error| error.fault.to_string())?;
        layout
            .resolve(wanted)
            .map_err(|error| error.fault.to_string())
    }
}

fn manifest(text: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{}},"layers":[],"annotations":{{"a":"{text}"}}}}"#
    )
}

fn named(name: &str) -> String {
    format!(r#""org.opencontainers.image.ref.name":"{name}""#)
}

fn kind(kind: &str) -> String {
    format!(r#""kind":"dev.cosignproject.cosign/{kind}""#)
}

#[test]
fn the_image_is_the_only_one_that_hangs_on_nothing() {
    let mut made = Made::new();
    assert_eq!(made.resolve(&Wanted::Only), Err("there is no image".into()));
    let image = made.entry(&manifest("image"), &named("1"));
    assert_eq!(made.resolve(&Wanted::Only), Ok(image.clone()));
    for suffix in ["", ".sig", ".att"] {
        let tag = format!("sha256-{}{suffix}", image.hex());
        made.entry(&manifest(suffix), &named(&tag));
        made.entry(&manifest(suffix), &named(&format!("r.example/a:{tag}")));
    }
    made.entry(&format!(r#"{{"subject":{{"digest":"{image}"}}}}"#), "");
    assert_eq!(made.resolve(&Wanted::Only), Ok(image.clone()));
    let other = made.entry(&manifest("other"), &named("2"));
    let said = made.resolve(&Wanted::Only).expect_err("two");
    assert!(
        said.starts_with("there are 2 images: \"1\" (sha256:"),
        "{said}"
    );
    let tag = |tag: &str| made.resolve(&Wanted::Tag(tag.to_owned()));
    assert_eq!((tag("1"), tag("2")), (Ok(image.clone()), Ok(other.clone())));
    assert_eq!(tag("3"), Err("no image is named \"3\"".into()));
    assert_eq!(made.resolve(&Wanted::Digest(other.clone())), Ok(other));
    let absent = Digest::of(b"");
    let said = made.resolve(&Wanted::Digest(absent.clone()));
    assert_eq!(said, Err(format!("there is no blob {absent}")));
    let mut many = Made::new();
    for number in 0..65 {
        many.entry(&manifest(&number.to_string()), "");
    }
    let said = many.resolve(&Wanted::Only).expect_err("65");
    assert!(said.starts_with("there are 65 images: "), "{said}");
    // The name of two.
    made.entry(&manifest("third"), &named("1"));
    assert!(made.resolve(&Wanted::Tag("1".to_owned())).is_err());
}

#[test]
fn what_cosign_saves_is_known_by_its_kind() {
    let mut made = Made::new();
    let signatures = made.entry(&manifest("sigs"), &kind("sigs"));
    let image = made.entry(&manifest("image"), &kind("image"));
    made.entry(&manifest("x"), "");
    assert_eq!(made.resolve(&Wanted::Only), Ok(image.clone()));
    let layout = made.open().expect("a layout");
    let tagged = |tag| layout.tagged(&image, tag).expect("fine");
    let found = tagged(cosign::Tag::Signatures);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].manifest.digest, signatures);
    assert_eq!(found[0].name, cosign::Tag::Signatures.of(&image));
    assert!(tagged(cosign::Tag::Attestations).is_empty());
}

#[test]
fn what_names_the_image_as_its_subject_is_found_in_no_index() {
    let mut made = Made::new();
    let image = made.entry(&manifest("image"), "");
    let of = |subject: &Digest| {
        format!(r#"{{"artifactType":"t","subject":{{"digest":"{subject}"}},"layers":[]}}"#)
    };
    let referring = made.blob(of(&image).as_bytes());
    made.blob(format!("  {}x", of(&image)).as_bytes());
    made.blob(of(&Digest::of(b"other")).as_bytes());
    made.blob(&[0x1f, 0x8b]);
    made.write("blobs/sha256/unfinished", of(&image).as_bytes());
    let found = made
        .open()
        .expect("a layout")
        .referring(&image)
        .expect("fine");
    let found: Vec<_> = found
        .iter()
        .map(|one| (&one.digest, one.artifact_type.as_deref()))
        .collect();
    assert_eq!(found, [(&referring, Some("t"))]);
}

#[test]
fn other_content_and_other_sizes_are_refused() {
    let mut made = Made::new();
    let image = made.entry(&manifest("image"), "");
    let file = format!("blobs/sha256/{}", image.hex());
    made.write(&file, b"{}");
    let found = Digest::of(b"{}");
    let wanted = format!("blob {image} has digest {found}");
    assert_eq!(made.resolve(&Wanted::Only), Err(wanted));
    let blob = made.blob(b"content");
    let layout = made.open().expect("a layout");
    assert!(layout.blob(&blob, 7).is_ok());
    for (size, wanted) in [(6, "more than 6"), (8, "has 7 bytes, wanted 8")] {
        let said = layout.blob(&blob, size).expect_err("refused").to_string();
        assert!(said.contains(wanted), "{said}");
    }
    let said = layout.blob(&Digest::of(b"absent"), 6).expect_err("absent");
    assert!(matches!(said.fault, Fault::Absent(_)));
    let tag = named(&cosign::Tag::Signatures.of(&image));
    let signatures = made.blob(b"{}");
    made.index(&format!(
        r#"{{"digest":"{signatures}","size":3,"annotations":{{{tag}}}}}"#
    ));
    let said = made
        .open()
        .expect("a layout")
        .tagged(&image, cosign::Tag::Signatures);
    let said = said.expect_err("refused").to_string();
    assert!(said.contains("has 2 bytes, wanted 3"), "{said}");
}

#[test]
fn links_folders_and_pipes_are_not_read() {
    let outside = tempfile::tempdir().expect("a folder");
    let mut made = Made::new();
    let image = made.entry(&manifest("image"), "");
    let file = format!("blobs/sha256/{}", image.hex());
    let content = fs::read(made.path(&file)).expect("it is there");
    fs::write(outside.path().join("blob"), content).expect("a file");
    fs::remove_file(made.path(&file)).expect("it is there");
    for target in [outside.path().join("blob"), PathBuf::from("other")] {
        symlink(&target, made.path(&file)).expect("a link");
        let said = made.resolve(&Wanted::Only);
        assert_eq!(said, Err(format!("{file} is, or lies behind, a link")));
        let said = made.open().expect("a layout").referring(&image);
        assert!(matches!(said.expect_err("a link").fault, Fault::Link(_)));
        fs::remove_file(made.path(&file)).expect("it is there");
    }
    fs::create_dir(made.path(&file)).expect("a folder");
    assert_eq!(
        made.resolve(&Wanted::Only),
        Err(format!("{file} is not a plain file"))
    );
    fs::remove_dir(made.path(&file)).expect("it is there");
    let pipe = std::process::Command::new("mkfifo")
        .arg(made.path(&file))
        .status();
    assert!(pipe.is_ok_and(|status| status.success()));
    assert_eq!(
        made.resolve(&Wanted::Only),
        Err(format!("{file} is not a plain file"))
    );
    // The folder of the blobs is a link.
    fs::rename(made.path("blobs"), outside.path().join("blobs")).expect("it is there");
    symlink(outside.path().join("blobs"), made.path("blobs")).expect("a link");
    assert_eq!(
        made.resolve(&Wanted::Only),
        Err(format!("{file} is, or lies behind, a link"))
    );
}

#[test]
fn what_is_no_layout_is_refused() {
    let made = Made::new();
    let told = |file: &str, text: &str| {
        let before = fs::read(made.path(file)).expect("it is there");
        made.write(file, text.as_bytes());
        let said = made
            .open()
            .map_or_else(|error| error.fault.to_string(), |_| "fine".into());
        made.write(file, &before);
        said
    };
    let entry = r#"{"digest":"sha512:00","size":1}"#;
    let many = vec![r#"{"digest":"","size":1}"#; 10_001].join(",");
    for (file, text, wanted) in [
        ("oci-layout", "", "oci-layout is malformed"),
        (
            "oci-layout",
            r#"{"imageLayoutVersion":"2.0.0"}"#,
            "version \"2.0.0\" of layouts is not supported",
        ),
        (
            "oci-layout",
            &" ".repeat(5000),
            "oci-layout has 5000 bytes, more than 4096",
        ),
        ("index.json", "[]", "index.json is malformed"),
        ("index.json", r#"{"manifests":null}"#, "fine"),
        (
            "index.json",
            &format!(r#"{{"manifests":[{entry}]}}"#),
            "entry 0 of index.json has no digest that is supported",
        ),
        (
            "index.json",
            &format!(r#"{{"manifests":[{many}]}}"#),
            "index.json has 10001 entries",
        ),
        (
            "index.json",
            &" ".repeat((4 << 20) + 1),
            "more than 4194304",
        ),
    ] {
        let said = told(file, text);
        assert!(said.contains(wanted), "{said}");
    }
    fs::remove_file(made.path("oci-layout")).expect("it is there");
    let said = made.open().expect_err("none").to_string();
    assert!(said.contains("cannot open oci-layout: "), "{said}");
    let absent = OciLayout::open(&made.path("absent"))
        .expect_err("none")
        .to_string();
    assert!(absent.contains("cannot open the folder: "), "{absent}");
}

#[test]
fn what_go_would_read_otherwise_is_refused() {
    let mut made = Made::new();
    let good = made.entry(r#"{"config":{},"layers":[]}"#, "");
    let evil = made.blob(b"{}");
    let size = 2;
    for entries in [
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{good}","Digest":"{evil}","size":25}}"#),
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{good}","digest":"{evil}","size":25}}"#),
        format!(r#"["{MANIFEST}","{good}",{size},null]"#),
        format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{good}","size":25,"annotations":["app",null]}}"#
        ),
        format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{good}","size":25}}],"Manifests":[{{"digest":"{evil}","size":2}}"#
        ),
    ] {
        made.index(&entries);
        let refused = made.open().expect_err(&entries);
        // A member that stands twice ends the reading.
        let is_refused = matches!(refused.fault, Fault::Ambiguous(..) | Fault::Json(..));
        assert!(is_refused, "{entries}: {refused}");
    }
    made.write(
        "oci-layout",
        br#"{"imageLayoutVersion":"1.0.0","ImageLayoutVersion":"2"}"#,
    );
    let refused = made.open().expect_err("two versions");
    assert!(matches!(refused.fault, Fault::Ambiguous(..)), "{refused}");
}

#[test]
fn the_size_of_an_image_is_that_of_its_entry() {
    let made = Made::new();
    let digest = made.blob(b"{}");
    made.index(&format!(
        r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":3}}"#
    ));
    let layout = made.open().expect("well formed");
    let refused = layout.resolve(&Wanted::Only).expect_err("it has two bytes");
    assert!(matches!(refused.fault, Fault::Size { .. }), "{refused}");
}

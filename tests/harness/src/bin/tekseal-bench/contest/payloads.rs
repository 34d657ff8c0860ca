//! What is signed: the runs of images, and folders of payloads as `tekseal-provenance` leaves them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tekseal_harness::{Run, fixtures};

use super::Contest;

impl Contest {
    /// A folder as `tekseal-provenance` leaves it, with the simple-signing payload of `image` alone: what `cosign sign` signs.
    pub(super) fn payload(&self, programs: &Path, image: &str) -> PathBuf {
        let name = format!("payload-{}", image.replace(['/', ':', '@'], "-"));
        self.payload_of(programs, &task_run(image), &name, 1)
    }

    /// The same of a run with so many images, in a folder of this name.
    fn payload_of(&self, programs: &Path, run: &Value, name: &str, images: usize) -> PathBuf {
        let folder = self.folder.path().join(name);
        let file = self.folder.path().join("run.json");
        fs::write(&file, run.to_string()).expect("the temporary folder is writable");
        Run::new(programs.join("tekseal-provenance"))
            .arg("--run")
            .arg(&file)
            .arg("--out")
            .arg(&folder)
            .ok();
        let index = folder.join("payloads.json");
        let all: Vec<Value> =
            serde_json::from_slice(&fs::read(&index).expect("the index of payloads"))
                .expect("the index is JSON");
        let only: Vec<_> = all
            .into_iter()
            .filter(|payload| payload["kind"] == "simplesigning")
            .collect();
        assert_eq!(only.len(), images, "a payload for each image of the run");
        fs::write(&index, json!(only).to_string()).expect("the folder is writable");
        folder
    }

    /// A folder as `tekseal-provenance` leaves it, with the simple-signing payloads of these images alone.
    pub(super) fn payloads(&self, programs: &Path, images: &[String]) -> PathBuf {
        if let [image] = images {
            return self.payload(programs, image);
        }
        let images_result = json!({"name": "IMAGES", "type": "string", "value": images.join(",")});
        let run = completed(json!([images_result]));
        self.images.set(self.images.get() + 1);
        let name = format!("payloads-{}", self.images.get());
        self.payload_of(programs, &run, &name, images.len())
    }
}

/// A completed build of `repository@digest`.
pub(super) fn task_run(image: &str) -> Value {
    let (url, digest) = image.split_once('@').expect("a reference has a digest");
    completed(json!([
        {"name": "IMAGE_URL", "type": "string", "value": url},
        {"name": "IMAGE_DIGEST", "type": "string", "value": digest},
    ]))
}

/// The build of the fixtures with other results.
fn completed(results: Value) -> Value {
    let file = fixtures().join("golden/tr-image-simple/input.json");
    let run = fs::read(file).expect("the fixture is there");
    let mut run: Value = serde_json::from_slice(&run).expect("the fixture is JSON");
    run["status"]["results"] = results;
    run
}

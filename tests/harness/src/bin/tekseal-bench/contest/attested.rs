//! Images as a pipeline leaves them: beside each, under tags, a signature, provenance v0.2 and provenance v1.
//!
//! Many are made side by side, because each upload waits for the registry to settle.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};
use tekseal_harness::{Image, Registry, Run};

use super::payloads::task_run;

/// Where they lie.
pub(super) const REPOSITORY: &str = "attested/app";
/// Who built them, by both of their attestations.
pub(super) const BUILDER: &str = "https://tekton.dev/chains/v2";
const WORKERS: u32 = 8;

/// Pushes and attests so many images, with a key that needs no password.
///
/// # Panics
///
/// When one cannot be made.
pub(super) fn push(
    programs: &Path,
    registry: &Registry,
    folder: &Path,
    key: &Path,
    count: u32,
) -> Vec<Image> {
    let work = |worker: u32| -> Vec<Image> {
        let folder = folder.join(format!("attesting-{worker}"));
        fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let mine = (worker..count).step_by(WORKERS as usize);
        mine.map(|at| {
            let image = registry.push_image(REPOSITORY, &format!("n{at}"));
            attest(programs, &image, &folder, key);
            image
        })
        .collect()
    };
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        let made = workers.into_iter().map(|worker| worker.join());
        made.flat_map(|images| images.expect("what went wrong was told"))
            .collect()
    })
}

/// Signs the image and attests both provenances of the run that built it.
fn attest(programs: &Path, image: &Image, folder: &Path, key: &Path) {
    let write = |name: &str, value: &Value| {
        let path = folder.join(name);
        fs::write(&path, value.to_string()).expect("the folder is ours");
        path
    };
    let run = write("run.json", &task_run(&image.reference));
    let configs = [
        json!({"artifacts.taskrun.format": "in-toto"}),
        json!({"artifacts.taskrun.format": "slsa/v2alpha4", "artifacts.oci.signer": "none"}),
    ];
    for config in configs {
        Run::new(programs.join("tekseal-attest"))
            .arg("--run")
            .arg(&run)
            .arg("--config")
            .arg(write("config.json", &config))
            .arg("--key")
            .arg(key)
            .args(["--builder-id", BUILDER, "--layout", "tags"])
            .ok();
    }
}

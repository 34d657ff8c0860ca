//! git as it is called here: with an environment of its own, in which neither the image nor the step's user configures anything.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::sleep;

use super::complaint::Complaint;
use super::credentials::{self, GIVEN_CONFIG};
use super::gitconfig::{self, Verdict};
use super::home::Home;
use super::secrets::Secrets;
use super::settings::{Settings, Talk};
use super::ssh;
use super::url::{FileProtocol, RepositoryUrl, Transport};
use crate::child::{self, Call, Ended, Environment, Program, Signals, Stdout};
use crate::{Failure, log};

const GIT: Program<'_> = Program {
    name: "git",
    label: "git",
    hint: "run the step in an image that has git, or install git 2.30 or newer",
};

/// git, ready to be called.
pub(super) struct Git {
    signals: Signals,
    home: Home,
    secrets: Secrets,
    environment: Vec<(OsString, OsString)>,
    /// What stands before each command.
    global: Vec<OsString>,
    repository: &'static str,
    submodules: &'static str,
    retries: u32,
    talk: Talk,
}

/// Whom a call may speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Nobody,
    /// The server of the URL, in its protocol.
    Repository,
    /// Those that submodules name.
    Submodules,
}

/// What of our environment git gets: where programs are, and which authorities the image trusts.
const PASSED_ON: [&str; 5] = [
    "PATH",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "ALL_PROXY",
];
/// The first wait before another try, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The most settings that a `.gitconfig` is read for.
const MOST_SETTINGS: usize = 100;

impl Git {
    /// Makes the private home, and finds out whether git is there.
    ///
    /// # Errors
    /// Exit 2 if git is not there, if credentials cannot be used, and if the user's configuration sends git elsewhere than `url` says.
    pub(super) async fn prepare(settings: &Settings, place: &Path) -> Result<Self, Failure> {
        let access = &settings.access;
        let home = Home::make(access.home.as_deref())?;
        let mut secrets = Secrets::default();
        let brought = credentials::bring(&home, access, &settings.url, &mut secrets)?;
        let ssh = ssh::bring(
            &home,
            access.for_ssh().as_deref(),
            access.host_keys,
            settings.url.transport(),
        )?;
        for (_, proxy) in &access.proxies {
            secrets.add_of_url(proxy);
        }
        let submodules = match access.files {
            FileProtocol::Refused => "https:http:ssh:git",
            FileProtocol::InsecureAllowed => "https:http:ssh:git:file",
        };
        let mut git = Self {
            signals: Signals::new()?,
            environment: environment(settings, &home, place, ssh),
            // Not where the step happens to be: that may be somebody's repository.
            global: vec!["-C".into(), home.path().into()],
            home,
            secrets,
            repository: protocols(settings.url.transport()),
            submodules,
            retries: settings.retries,
            talk: settings.talk,
        };
        let version = git
            .ask(&["--version"], "asking git for its version")
            .await?;
        let version = version.trim().trim_start_matches("git version ");
        log::info("found git", &[("version", &version)]);
        let mut config = gitconfig::base(access, brought.store);
        if brought.config {
            config.push_str(&git.of_given_config().await?);
        }
        git.home.write(".gitconfig", config.as_bytes())?;
        git.refuse_other_place(&settings.url).await?;
        // The configuration of a repository goes before that of the home, the command line before both.
        git.global = words(&["-c", "core.hooksPath=/dev/null", "-C"]);
        git.global.push(place.into());
        Ok(git)
    }

    /// Calls git for an answer, without network.
    ///
    /// # Errors
    /// The complaint, if it fails.
    pub(super) async fn ask(&mut self, args: &[&str], doing: &str) -> Result<String, Failure> {
        let ended = self.call(Reach::Nobody, args, Stdout::Keep).await?;
        match ended.is_success() {
            true => Ok(ended.answer),
            false => Err(Complaint::of(&ended).failure(doing)),
        }
    }

    /// Like [`Git::ask`], with `None` where git says no.
    pub(super) async fn ask_whether(&mut self, args: &[&str]) -> Result<Option<String>, Failure> {
        let ended = self.call(Reach::Nobody, args, Stdout::Keep).await?;
        Ok(ended.is_success().then_some(ended.answer))
    }

    /// Calls git for what it does, and again where that may help.
    ///
    /// # Errors
    /// The outer one if git cannot be run or a signal came; the inner one is git's last complaint.
    pub(super) async fn insist(
        &mut self,
        reach: Reach,
        args: &[&str],
    ) -> Result<Result<(), Complaint>, Failure> {
        let mut tries = 0;
        loop {
            let ended = self.act(reach, args).await?;
            if ended.is_success() {
                return Ok(Ok(()));
            }
            let complaint = Complaint::of(&ended);
            if !complaint.cause.may_pass() || tries == self.retries {
                return Ok(Err(complaint));
            }
            let wait = wait_before(tries);
            tries += 1;
            log::warn(
                "git failed, trying again",
                &[
                    ("retry", &tries),
                    ("of", &self.retries),
                    ("seconds", &wait.as_secs()),
                ],
            );
            self.signals.unless_stopped(sleep(wait)).await?;
        }
    }

    /// Calls git once for what it does.
    pub(super) async fn act(&mut self, reach: Reach, args: &[&str]) -> Result<Ended, Failure> {
        if self.talk == Talk::Verbose {
            log::info(
                "running",
                &[("command", &format!("git {}", args.join(" ")))],
            );
        }
        self.call(reach, args, Stdout::Log).await
    }

    async fn call(
        &mut self,
        reach: Reach,
        args: &[&str],
        stdout: Stdout,
    ) -> Result<Ended, Failure> {
        let protocols = match reach {
            Reach::Nobody => "",
            Reach::Repository => self.repository,
            Reach::Submodules => self.submodules,
        };
        let mut environment = self.environment.clone();
        environment.push(("GIT_ALLOW_PROTOCOL".into(), protocols.into()));
        let mut all = self.global.clone();
        all.extend(words(args));
        let call = Call {
            program: &GIT,
            args: &all,
            environment: Environment::Only(&environment),
            stdout,
            hide: Some(&|line| self.secrets.hide(line)),
        };
        child::run(&mut self.signals, call).await
    }

    /// The settings of the user's `.gitconfig` that are taken; the names of the others are told.
    async fn of_given_config(&mut self) -> Result<String, Failure> {
        let file = self.home.file(GIVEN_CONFIG);
        let file = file.to_str().expect("the home has ASCII letters only");
        let doing = "reading .gitconfig of the workspace basic-auth";
        let list = [
            "config",
            "--file",
            file,
            "--no-includes",
            "--name-only",
            "--list",
        ];
        let names = self.ask(&list, doing).await?;
        let mut names: Vec<_> = names.lines().collect();
        names.dedup();
        if names.len() > MOST_SETTINGS {
            return Err(
                Failure::misuse(anyhow!("it has more than {MOST_SETTINGS} settings"))
                    .context(doing),
            );
        }
        let (mut taken, mut left_out) = (String::new(), Vec::new());
        let mut seen = Vec::new();
        for name in names {
            let verdict = gitconfig::judge(name);
            if verdict == Verdict::Ignore || seen.contains(&name) {
                continue;
            }
            seen.push(name);
            if verdict == Verdict::LeaveOut {
                left_out.push(name);
                continue;
            }
            let get = ["config", "--file", file, "--no-includes", "--get-all", name];
            let values = self.ask(&get, doing).await?;
            for value in values.lines() {
                match verdict {
                    Verdict::Keep => {}
                    Verdict::KeepSecret => {
                        self.secrets.add(value.rsplit(' ').next().unwrap_or(value))
                    }
                    Verdict::KeepIf(allowed) if allowed.contains(&value) => {}
                    Verdict::Ours(same) if same.contains(&value) => continue,
                    Verdict::KeepIf(_) | Verdict::Ours(_) | Verdict::Ignore | Verdict::LeaveOut => {
                        left_out.push(name);
                        continue;
                    }
                }
                taken.push_str(&gitconfig::entry(name, value));
            }
        }
        left_out.dedup();
        if !left_out.is_empty() {
            let names = self.secrets.hide(&left_out.join(", "));
            log::warn(
                "settings of .gitconfig are left out; parameters of the task are for certificates and proxies",
                &[("settings", &names)],
            );
        }
        Ok(taken)
    }

    /// `url.….insteadOf` may give a URL credentials, but not another place: the results would not be true.
    async fn refuse_other_place(&mut self, url: &RepositoryUrl) -> Result<(), Failure> {
        let args = ["ls-remote", "--get-url", "--", url.as_str()];
        let actual = self
            .ask(&args, "asking git where it would fetch from")
            .await?;
        let actual = actual.trim_end_matches('\n');
        if url.is_same_place(actual) {
            return Ok(());
        }
        Err(Failure::misuse(anyhow!(
            ".gitconfig of the workspace basic-auth has git fetch from {:?} instead of {}",
            self.secrets.hide(actual),
            url.as_str()
        ))
        .hint("give as url (--url) what is really fetched from: it is in the results and in provenance"))
    }
}

fn environment(
    settings: &Settings,
    home: &Home,
    place: &Path,
    ssh: String,
) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = PASSED_ON
        .iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
        .collect();
    let mut set = |name: &str, value: &OsStr| all.push((name.into(), value.to_owned()));
    set("HOME", home.path().as_os_str());
    set("GIT_CONFIG_GLOBAL", home.file(".gitconfig").as_os_str());
    set("GIT_CONFIG_NOSYSTEM", OsStr::new("1"));
    set("GIT_ATTR_NOSYSTEM", OsStr::new("1"));
    set("GIT_TERMINAL_PROMPT", OsStr::new("0"));
    set("GIT_SSH_COMMAND", OsStr::new(&ssh));
    set("GIT_SSH_VARIANT", OsStr::new("ssh"));
    // The words by which failures are told apart.
    set("LC_ALL", OsStr::new("C"));
    // A repository around the private home or around the workspace is somebody else's.
    let parents: Vec<PathBuf> = [home.path(), place]
        .iter()
        .filter_map(|path| path.parent())
        .map(Path::to_owned)
        .collect();
    if let Ok(parents) = std::env::join_paths(parents) {
        set("GIT_CEILING_DIRECTORIES", &parents);
    }
    if let Some(authorities) = &settings.access.authorities {
        set("GIT_SSL_CAPATH", authorities.folder.as_os_str());
        set("GIT_SSL_CAINFO", authorities.file.as_os_str());
    }
    for (name, value) in &settings.access.proxies {
        set(name, OsStr::new(value));
    }
    all
}

/// The protocols in which a repository may be fetched: its own, and a better one that its server redirects to.
fn protocols(transport: Transport) -> &'static str {
    match transport {
        Transport::Https => "https",
        Transport::Http => "http:https",
        Transport::Ssh => "ssh",
        Transport::Git => "git",
        Transport::File => "file",
    }
}

/// 1 s, 2 s, 4 s, …, 30 s.
fn wait_before(tries: u32) -> Duration {
    WAITS
        .0
        .saturating_mul(2_u32.saturating_pow(tries))
        .min(WAITS.1)
}

fn words(all: &[&str]) -> Vec<OsString> {
    all.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::args::tests::parse;
    use super::*;

    /// git, prepared with this `.gitconfig` of the workspace basic-auth.
    fn prepared(config: &str) -> Result<Git, Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(".gitconfig"), config).expect("a file");
        let path = folder.path().to_str().expect("ASCII");
        let words = ["--url", "https://h.example/x", "--output", "/out"];
        let args = parse(&[words.as_slice(), &["--basic-auth", path]].concat());
        let settings = Settings::from_args(&args).expect("good parameters");
        crate::block_on(Git::prepare(&settings, Path::new("/out")))
    }

    #[test]
    fn the_real_git_reads_what_was_taken_of_a_configuration_and_nothing_else() {
        let mut git = prepared(
            "[credential \"https://a.b\"]\n\thelper = store\n\tusername = \"back\\\\slash\\\"\"\n\
             [credential]\n\thelper = !touch /tmp/x\n\
             [http]\n\tsslVerify = false\n\textraHeader = Authorization: Bearer s3cret-token\n\
             [http \"https://h.example\"]\n\tsslVerify = false\n\
             [core]\n\tsshCommand = touch /tmp/x\n\tfsmonitor = touch /tmp/x\n\
             [include]\n\tpath = /etc/passwd\n\
             [filter \"lfs\"]\n\tprocess = git-lfs filter-process\n\tsmudge = touch /tmp/x\n\
             [url \"https://t:s3cret@h.example/\"]\n\tinsteadOf = https://h.example/\n\
             [url \"https://evil/\"]\n\tinsteadOf = git@other:\n\
             [user]\n\tname = x\n",
        )
        .expect("nothing that is refused");
        git.global = vec!["-C".into(), git.home.path().into()];
        let list = crate::block_on(git.ask(&["config", "--list"], "listing")).expect("well formed");
        for line in [
            "credential.https://a.b.username=back\\slash\"",
            "http.extraheader=Authorization: Bearer s3cret-token",
            "http.sslverify=true",
            "core.fsmonitor=false",
            "filter.lfs.process=git-lfs filter-process",
            "url.https://t:s3cret@h.example/.insteadof=https://h.example/",
            "url.https://evil/.insteadof=git@other:",
        ] {
            assert!(list.lines().any(|found| found == line), "{line}\n{list}");
        }
        for part in [
            "touch",
            "sslverify=false",
            "/etc/passwd",
            "credential.helper",
            "user.name",
        ] {
            assert!(!list.contains(part), "{part}\n{list}");
        }
        assert_eq!(git.secrets.hide("s3cret-token"), "***");
    }

    #[test]
    fn a_configuration_that_leads_elsewhere_is_refused() {
        for base in ["https://evil/", "ssh://h.example/", "ext::sh -c x "] {
            let config = format!("[url \"{base}\"]\n\tinsteadOf = https://h.example/\n");
            let failure = prepared(&config).err().expect("the results would lie");
            assert_eq!(failure.code(), crate::exit::MISUSE);
            assert!(failure.message().contains("instead of"), "{base}");
        }
        let failure = prepared("[core\n").err().expect("it is malformed");
        assert!(failure.message().contains("reading .gitconfig"));
    }

    #[test]
    fn the_waits_double_up_to_half_a_minute() {
        let waits: Vec<_> = (0..7).map(|tries| wait_before(tries).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(wait_before(u32::MAX).as_secs(), 30);
    }

    #[test]
    fn no_repository_is_fetched_in_a_worse_protocol() {
        assert_eq!(protocols(Transport::Https), "https");
        assert!(!protocols(Transport::Http).contains("file"));
    }
}

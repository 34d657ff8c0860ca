//! Answers the challenges of registries and remembers what was accepted.
//!
//! ```text
//!  first request ──401──▶ challenge ──▶ Basic: header from the credentials
//!                                   └─▶ Bearer: token from the realm ──▶ request again, and all later ones
//! ```
//!
//! There is no ping: the first real request brings the challenge. What was agreed is kept per repository until it
//! expires or is refused; requests that run at the same time share one token. Several fitting credentials are tried from
//! the longest path to the host alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};
use tekseal_core::Repository;
use tekseal_core::docker_config::{Credentials, Match};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::challenge::{Challenge, challenge};
use crate::error::{Cause, Detail};
use crate::http::Line;
use crate::registry::Access;
use crate::token::Asked;

/// Credentials, and what was agreed with each registry.
#[derive(Debug)]
pub(crate) struct Keyring {
    credentials: Credentials,
    access: Access,
    doors: Mutex<Doors>,
    known: Mutex<HashMap<String, Known>>,
}

/// What was agreed with the repositories used last.
#[derive(Debug, Default)]
struct Doors {
    all: HashMap<Repository, (u64, Arc<Door>)>,
    /// Counts uses.
    uses: u64,
}

/// With how many repositories what was agreed is kept, beside those in use; a token has up to 16 KiB.
const MOST_DOORS: usize = 16;
/// How many registries are known.
const MOST_KNOWN: usize = 64;

/// What is known about a whole registry.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Its last challenge, and the URL it came from: a second repository needs no 401 to learn it.
    challenge: Option<(Challenge, Url)>,
    /// Which credentials were shown last: key and file.
    credential: Option<String>,
}

/// What was agreed with a repository.
#[derive(Debug, Default)]
struct Door {
    state: Arc<tokio::sync::Mutex<State>>,
    /// The version of the state that the registry has accepted once.
    accepted: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Counts the changes of `header`, so that of several refused requests one renews it and the others see that.
    version: u64,
    header: Option<HeaderValue>,
    expires: Option<Instant>,
    /// Which of the fitting credentials is in use.
    choice: usize,
    /// The registry has answered a request without credentials.
    open: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("version", &self.version)
            .field("choice", &self.choice)
            .finish_non_exhaustive()
    }
}

/// Leave to send one request.
pub(crate) struct Pass {
    door: Arc<Door>,
    header: Option<HeaderValue>,
    version: u64,
    /// The first request goes alone when the registry will probably ask who we are.
    first: Option<OwnedMutexGuard<State>>,
}

impl Pass {
    /// The `Authorization` to send, if any.
    pub(crate) fn header(&self) -> Option<&HeaderValue> {
        self.header.as_ref()
    }
}

/// What to do after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Other credentials are in place.
    Again,
    /// Nothing else to try.
    GiveUp,
}

impl Keyring {
    pub(crate) fn new(credentials: Credentials, access: Access) -> Self {
        Self {
            credentials,
            access,
            doors: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// One for other credentials, which knows nothing yet.
    pub(crate) fn with(&self, credentials: Credentials) -> Self {
        Self::new(credentials, self.access)
    }

    /// Key and file of the credentials shown to `registry` last.
    pub(crate) fn credential_used(&self, registry: &str) -> Option<String> {
        lock(&self.known)
            .get(registry)
            .and_then(|known| known.credential.clone())
    }

    /// The credentials that may be shown for `repository`.
    pub(crate) fn fitting(&self, repository: &Repository) -> Vec<Match<'_>> {
        self.credentials.for_repository(repository)
    }

    /// What the registry of `repository` asked for last, and the URL at which it did.
    fn known_challenge(&self, repository: &Repository) -> Option<(Challenge, Url)> {
        lock(&self.known)
            .get(repository.registry())
            .and_then(|known| known.challenge.clone())
    }

    /// Leave to send a request about `repository`: with what was agreed before, renewed if its time is over.
    pub(crate) async fn enter(&self, line: &Line, repository: &Repository) -> Result<Pass, Cause> {
        let door = lock(&self.doors).get(repository);
        let mut state = Arc::clone(&door.state).lock_owned().await;
        let is_over = state
            .expires
            .is_some_and(|expires| expires <= Instant::now());
        if (state.header.is_none() || is_over) && !state.open {
            let anonymous = self.credentials.for_repository(repository).is_empty();
            let known = self.known_challenge(repository);
            match known {
                Some((Challenge::Basic, _)) if anonymous => {}
                Some((challenge, base)) => {
                    self.establish(
                        line,
                        repository,
                        &challenge,
                        &base,
                        &mut state,
                        Detail::default(),
                    )
                    .await?;
                }
                None if anonymous => {}
                None => {
                    let version = state.version;
                    return Ok(Pass {
                        door,
                        header: None,
                        version,
                        first: Some(state),
                    });
                }
            }
        }
        let (header, version) = (state.header.clone(), state.version);
        Ok(Pass {
            door,
            header,
            version,
            first: None,
        })
    }

    /// The request was answered with neither 401 nor 403.
    pub(crate) fn accepted(&self, mut pass: Pass) {
        if let Some(state) = &mut pass.first {
            state.open = true;
        }
        if pass.header.is_some() {
            pass.door
                .accepted
                .fetch_max(pass.version, Ordering::Relaxed);
        }
    }

    /// The registry at `base` answered 401: puts a token or the next credentials in place, or says why that is the end.
    pub(crate) async fn challenged(
        &self,
        line: &Line,
        repository: &Repository,
        base: &Url,
        pass: Pass,
        refusal: Refusal,
    ) -> Result<(), Cause> {
        let door = pass.door;
        let mut state = match pass.first {
            Some(state) => state,
            None => Arc::clone(&door.state).lock_owned().await,
        };
        if state.version != pass.version {
            return Ok(());
        }
        state.open = false;
        if pass.header.is_some() && door.accepted.load(Ordering::Relaxed) != pass.version {
            state.choice += 1;
        }
        let tried = self.tried(repository, &state);
        let Some(challenge) = challenge(&refusal.headers) else {
            return Err(self.refused(repository, tried, refusal.detail));
        };
        let exhausted = pass.header.is_some() && state.choice >= self.choices(repository);
        if exhausted {
            state.forget();
            return Err(self.refused(repository, tried, refusal.detail));
        }
        let told = (challenge.for_any_repository(), base.clone());
        self.know(repository, |known| known.challenge = Some(told));
        self.establish(
            line,
            repository,
            &challenge,
            base,
            &mut state,
            refusal.detail,
        )
        .await
    }

    /// The registry answered 403: perhaps other credentials may do it.
    pub(crate) async fn denied(
        &self,
        line: &Line,
        repository: &Repository,
        pass: Pass,
    ) -> Result<Next, Cause> {
        let known = self.known_challenge(repository);
        let (Some((challenge, base)), Some(_)) = (known, &pass.header) else {
            return Ok(Next::GiveUp);
        };
        let mut state = Arc::clone(&pass.door.state).lock_owned().await;
        if state.version != pass.version {
            return Ok(Next::Again);
        }
        if state.choice + 1 >= self.choices(repository) {
            return Ok(Next::GiveUp);
        }
        state.choice += 1;
        self.establish(
            line,
            repository,
            &challenge,
            &base,
            &mut state,
            Detail::default(),
        )
        .await?;
        Ok(Next::Again)
    }

    /// Puts a new header in place, from the chosen credentials or, if the token server refuses them, the next ones.
    async fn establish(
        &self,
        line: &Line,
        repository: &Repository,
        challenge: &Challenge,
        base: &Url,
        state: &mut State,
        detail: Detail,
    ) -> Result<(), Cause> {
        let choices = self.credentials.for_repository(repository);
        let mut detail = detail;
        loop {
            let choice = choices.get(state.choice);
            if choice.is_none() && (state.choice > 0 || *challenge == Challenge::Basic) {
                let tried = self.tried(repository, state);
                state.forget();
                return Err(self.refused(repository, tried, detail));
            }
            if let Some(choice) = choice {
                let shown = choice.to_string();
                self.know(repository, |known| known.credential = Some(shown));
            }
            let asked = Asked {
                line,
                repository,
                access: self.access,
                base,
            };
            match asked
                .authorization(challenge, choice.map(Match::secret))
                .await
            {
                Ok(granted) => {
                    state.version += 1;
                    state.header = Some(granted.header);
                    state.expires = granted.expires;
                    return Ok(());
                }
                Err(Cause::Token { source, .. })
                    if matches!(source.status(), Some(400 | 401 | 403)) =>
                {
                    if let Cause::Status { detail: said, .. } = *source {
                        detail = said;
                    }
                    // Without credentials the token server was asked as nobody; one more step ends the loop.
                    state.choice += 1;
                }
                Err(cause) => return Err(cause),
            }
        }
    }

    fn know(&self, repository: &Repository, learn: impl FnOnce(&mut Known)) {
        let mut all = lock(&self.known);
        let registry = repository.registry();
        if all.len() >= MOST_KNOWN && !all.contains_key(registry) {
            // Whoever is forgotten is met with one 401 more.
            all.clear();
        }
        learn(all.entry(registry.to_owned()).or_default());
    }

    fn choices(&self, repository: &Repository) -> usize {
        self.credentials.for_repository(repository).len()
    }

    fn tried(&self, repository: &Repository, state: &State) -> Vec<String> {
        let choices = self.credentials.for_repository(repository);
        choices
            .iter()
            .take(state.choice.max(1))
            .map(Match::to_string)
            .collect()
    }

    fn refused(&self, repository: &Repository, tried: Vec<String>, detail: Detail) -> Cause {
        if tried.is_empty() {
            let notes = self.credentials.notes(repository);
            return Cause::NoCredentials {
                repository: repository.clone(),
                detail,
                notes,
            };
        }
        Cause::Unauthorized {
            registry: repository.registry().to_owned(),
            tried,
            detail,
        }
    }
}

impl Doors {
    fn get(&mut self, repository: &Repository) -> Arc<Door> {
        self.uses += 1;
        if let Some((used, door)) = self.all.get_mut(repository) {
            *used = self.uses;
            return Arc::clone(door);
        }
        let is_idle = |door: &Arc<Door>| Arc::strong_count(door) == 1;
        while self.all.len() >= MOST_DOORS {
            let idle = self.all.iter().filter(|(_, (_, door))| is_idle(door));
            let Some((oldest, _)) = idle.min_by_key(|(_, (used, _))| *used) else {
                break;
            };
            let oldest = oldest.clone();
            self.all.remove(&oldest);
        }
        let door = Arc::<Door>::default();
        self.all
            .insert(repository.clone(), (self.uses, Arc::clone(&door)));
        door
    }
}

/// What is left of an answer that refused.
pub(crate) struct Refusal {
    /// Its headers, with the challenge in them.
    pub(crate) headers: HeaderMap,
    /// What it said.
    pub(crate) detail: Detail,
}

impl State {
    /// A later request begins anew, perhaps with credentials that work again.
    fn forget(&mut self) {
        *self = Self {
            version: self.version + 1,
            ..Self::default()
        };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves these maps as good as they were.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Repositories as provenance names them: Chains writes `git+URL.git` for whatever URL a run was given, others add the ref behind an `@`.

/// A repository, and the ref that a URI names with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// Without `git+` before it and `.git` behind it.
    pub(super) repository: &'a str,
    /// A full ref, such as `refs/heads/main`.
    pub(super) reference: Option<&'a str>,
}

impl<'a> Named<'a> {
    /// A ref begins with `@refs/` in the path: an `@` before that belongs to who asks or to the host, and all of it decides whose repository it is.
    /// What follows must be a ref. Of any other text it is unknown what whoever fetches makes of it, as of `@refs/../../other`, so all of it is
    /// the repository.
    pub(super) fn of(uri: &'a str) -> Self {
        let at = ref_place(uri).filter(|at| is_ref(&uri[at + 1..]));
        let (repository, reference) = match at {
            Some(at) => (&uri[..at], Some(&uri[at + 1..])),
            None => (uri, None),
        };
        Self {
            repository: bare(repository),
            reference,
        }
    }
}

/// Where an `@` stands behind which a ref should be.
pub(super) fn ref_place(uri: &str) -> Option<usize> {
    let host = uri.find("://")? + "://".len();
    let path = host + uri[host..].find('/')?;
    uri[path..].find("@refs/").map(|at| path + at)
}

/// Whether a text is a full ref, as git-check-ref-format has it, and nothing that an address could mean by it. One that ends in `.git` is none:
/// Chains puts that behind whatever URL a run was given, so all before it is the run's word for a repository.
pub(super) fn is_ref(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    text.strip_prefix("refs/")
        .is_some_and(|name| name.split('/').all(is_part))
        && !text.contains("..")
        && !text.ends_with(".git")
        && !text
            .contains(|c: char| c.is_whitespace() || c.is_control() || "%\\?#:~^@*[".contains(c))
}

/// The repository that a URI names, without `git+` before it, and without `.git` and a ref behind it.
#[must_use]
pub fn repository_of(uri: &str) -> &str {
    Named::of(uri).repository
}

/// Whether both URIs name one repository, whatever ref they name of it: one `git+` before and one `.git` behind make no difference, all else does.
#[must_use]
pub fn same_repository(one: &str, other: &str) -> bool {
    Named::of(one).repository == Named::of(other).repository
}

/// The URI without one `git+` before and one `.git` behind.
pub(super) fn bare(uri: &str) -> &str {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    uri.strip_suffix(".git").unwrap_or(uri)
}

/// Whether it is an address as git takes it: `SCHEME://…`, or `USER@HOST:PATH`.
pub(super) fn is_address(uri: &str) -> bool {
    let bare = bare(uri);
    if let Some((scheme, rest)) = bare.split_once("://") {
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        return scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(is_scheme)
            && !rest.is_empty();
    }
    let Some((host, path)) = bare.split_once(':') else {
        return false;
    };
    let named = host.split_once('@');
    let named = named.filter(|(user, host)| !user.is_empty() && !host.is_empty());
    named.is_some() && !host.contains('/') && !path.is_empty()
}

/// Every URI without a ref that is the same repository: first as Chains writes it.
pub(super) fn forms(uri: &str) -> Vec<String> {
    let bare = bare(uri);
    vec![
        format!("git+{bare}.git"),
        format!("git+{bare}"),
        format!("{bare}.git"),
        bare.to_owned(),
    ]
}

/// Whether a text is a commit: all digits of a SHA-1 or SHA-256.
pub(super) fn is_commit(text: &str) -> bool {
    let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    matches!(text.len(), 40 | 64) && text.bytes().all(is_digit)
}

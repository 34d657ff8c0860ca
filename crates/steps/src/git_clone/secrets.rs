//! Texts that must not be seen in the log: passwords and tokens. git itself prints none, but a server that was shown one may say it back.

use zeroize::Zeroizing;

/// What stands in their place.
const HIDDEN: &str = "***";
/// What is shorter is no password worth the name, and would be found in every other word.
const SHORTEST: usize = 4;

/// The texts. No `Debug`, no `Clone`: they are nowhere but here, and gone afterwards.
#[derive(Default)]
pub(super) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    /// Adds a text.
    pub(super) fn add(&mut self, text: &str) {
        let text = text.trim();
        if text.len() >= SHORTEST && !self.0.iter().any(|known| known.as_str() == text) {
            self.0.push(Zeroizing::new(text.to_owned()));
            // Of two of which one holds the other the longer is replaced first.
            self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
    }

    /// Adds what stands before the host of a URL, as it is there and decoded: the password, and a user name that is long enough to be a token.
    pub(super) fn add_of_url(&mut self, url: &str) {
        const TOKEN: usize = 16;
        let Some(user_info) = user_info(url) else {
            return;
        };
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let user = Some(user).filter(|user| user.len() >= TOKEN);
        for text in user.into_iter().chain([password]) {
            self.add(text);
            self.add(&Zeroizing::new(decoded(text)));
        }
    }

    /// The line without them, and without what stands before the host in any URL.
    pub(super) fn hide(&self, line: &str) -> String {
        let mut line = without_user_info(line);
        for secret in &self.0 {
            line = line.replace(secret.as_str(), HIDDEN);
        }
        line
    }
}

/// What stands between `://` and the last `@` before the path.
pub(super) fn user_info(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = &rest[..end_of_authority(rest)];
    authority.rsplit_once('@').map(|(user, _)| user)
}

fn end_of_authority(rest: &str) -> usize {
    rest.find(|c: char| c == '/' || c.is_whitespace() || "'\"<>".contains(c))
        .unwrap_or(rest.len())
}

fn without_user_info(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        clean.push_str(before);
        rest = after;
        if let Some(user) = after[..end_of_authority(after)].rfind('@') {
            clean.push_str(HIDDEN);
            rest = &after[user..];
        }
    }
    clean.push_str(rest);
    clean
}

/// `%40` is `@`; what is no such code stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after
            .get(..2)
            .and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use tekseal_core::percent;

    use super::*;

    #[test]
    fn passwords_tokens_and_what_stands_before_a_host_are_hidden() {
        let mut secrets = Secrets::default();
        secrets.add_of_url("https://git:p%40ss%2Fword@h.example/x");
        secrets.add_of_url("https://ghp_0123456789abcdef:x-oauth-basic@h.example");
        secrets.add("abc");
        for (line, wanted) in [
            (
                "remote: you said p@ss/word, git",
                "remote: you said ***, git",
            ),
            ("p%40ss%2Fword", "***"),
            ("ghp_0123456789abcdef and x-oauth-basic", "*** and ***"),
            (
                "fatal: unable to access 'https://a:b@h/x': no; http://t@h http://h/a@b",
                "fatal: unable to access 'https://***@h/x': no; http://***@h http://h/a@b",
            ),
            (
                "abc is too short to be hidden",
                "abc is too short to be hidden",
            ),
            ("://", "://"),
        ] {
            assert_eq!(secrets.hide(line), wanted);
        }
    }

    #[test]
    fn the_longer_secret_is_hidden_whole() {
        let mut secrets = Secrets::default();
        secrets.add("word");
        secrets.add("password");
        assert_eq!(secrets.hide("a password"), "a ***");
    }

    #[test]
    fn codes_are_read_back() {
        let text = "a b@c/ü%\u{1}~";
        let code = percent::encoded(text);
        assert_eq!(decoded(&code), text);
        assert_eq!(decoded("%zz%4"), "%zz%4");
    }
}

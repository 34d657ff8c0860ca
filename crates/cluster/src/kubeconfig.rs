//! Reads kubeconfigs: which context counts, and what its cluster and its user say.
//!
//! The rules are client-go's (<https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>): which file counts,
//! that a path in a file is meant from its folder, that the data of a certificate count before its file. Two things are not read: what
//! Kubernetes 1.26 dropped (`auth-provider`, of which the token that an identity provider issued is still taken), and proxies of SOCKS.

use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue, Uri};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::exec::{Interaction, Plugin};
use crate::way::{
    self, Credential, Identity, Proxy, Trust, Way, WayError, basic, bearer, certificates_of,
    decoded, encoded, read, wrong,
};
use crate::yaml::{self, Node};

/// Kubeconfigs together: of two values the first one counts.
#[derive(Default)]
pub(crate) struct Files {
    /// Each document, and the folder that it is in.
    nodes: Vec<(Node, PathBuf)>,
}

impl Files {
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) fn add(&mut self, path: &Path) -> Result<(), WayError> {
        let text = read(path)?;
        let documents =
            yaml::read(&text).map_err(|error| WayError::Yaml(path.to_owned(), error))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        for document in documents {
            self.nodes.push((document, folder.clone()));
        }
        Ok(())
    }

    /// The entry of this name in a list, and the folder of its file.
    fn named(&self, list: &str, kind: &str, name: &str) -> Option<Part<'_>> {
        self.nodes.iter().find_map(|(document, folder)| {
            let items = document.get(list)?.items();
            let item = items
                .iter()
                .find(|item| item.get("name").and_then(Node::text) == Some(name))?;
            let node = item.get(kind)?;
            Some(Part { node, folder })
        })
    }

    pub(crate) fn way(&self) -> Result<Way, WayError> {
        let mut contexts = self.nodes.iter().filter_map(|(document, _)| {
            let name = document.get("current-context")?.text()?;
            (!name.is_empty()).then_some(name)
        });
        let context = contexts.next().ok_or(WayError::NoContext)?;
        let absent = |what, name: &str| WayError::Absent(what, name.to_owned());
        let context = self
            .named("contexts", "context", context)
            .ok_or_else(|| absent("context", context))?;
        let name = context.text("cluster").unwrap_or_default();
        let cluster = self
            .named("clusters", "cluster", name)
            .ok_or_else(|| absent("cluster", name))?;
        let server = cluster.text("server");
        let server = server.ok_or_else(|| WayError::NoServer(name.to_owned()))?;
        let server: Uri = server
            .parse()
            .map_err(|_| wrong("server", "it is no URL"))?;
        if !matches!(server.scheme_str(), Some("https" | "http")) || server.host().is_none() {
            return Err(wrong("server", "it must be a URL with https and a host"));
        }
        let proxy = match cluster.text("proxy-url") {
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                Proxy::At(url.to_owned())
            }
            Some(_) => {
                return Err(wrong(
                    "proxy-url",
                    "only proxies of http and https are used",
                ));
            }
            None => Proxy::Environment,
        };
        let server_name = cluster.text("tls-server-name").map(str::to_owned);
        if server_name.is_some() && matches!(proxy, Proxy::At(_)) {
            return Err(wrong(
                "tls-server-name",
                "it cannot be used with proxy-url: a proxy would be asked for that name",
            ));
        }
        // Like client-go, nobody is missed who is not there.
        let user = context.text("user").unwrap_or_default();
        let nobody = Node::nothing();
        let user = self.named("users", "user", user).unwrap_or(Part {
            node: &nobody,
            folder: context.folder,
        });
        Ok(Way {
            namespace: context.text("namespace").unwrap_or("default").to_owned(),
            trust: cluster.trust()?,
            credential: user.credential(&cluster)?,
            identity: user.identity()?,
            headers: user.headers()?,
            server,
            server_name,
            proxy,
        })
    }
}

/// A part of a kubeconfig.
struct Part<'a> {
    node: &'a Node,
    folder: &'a Path,
}

impl Part<'_> {
    /// A text that is there, and not empty.
    fn text(&self, key: &str) -> Option<&str> {
        let text = self.node.get(key)?.text()?;
        (!text.is_empty()).then_some(text)
    }

    fn is(&self, key: &'static str) -> Result<bool, WayError> {
        match self.text(key) {
            None | Some("false" | "False" | "FALSE") => Ok(false),
            Some("true" | "True" | "TRUE") => Ok(true),
            Some(_) => Err(wrong(key, "it must be true or false")),
        }
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|path| self.folder.join(path))
    }

    /// What is there as data, or else in a file.
    fn data(&self, data: &'static str, file: &str) -> Result<Option<Vec<u8>>, WayError> {
        if let Some(text) = self.text(data) {
            let bytes = decoded(text).ok_or_else(|| wrong(data, "it is no base64"))?;
            return Ok(Some(bytes));
        }
        let path = self.file(file);
        path.map(|path| Ok(read(&path)?.as_bytes().to_vec()))
            .transpose()
    }

    fn trust(&self) -> Result<Trust, WayError> {
        const DATA: &str = "certificate-authority-data";
        if self.is("insecure-skip-tls-verify")? {
            return Ok(Trust::DangerAnybody);
        }
        match self.data(DATA, "certificate-authority")? {
            Some(pem) => Ok(Trust::Authorities(certificates_of(DATA, &pem)?)),
            None => Ok(Trust::System),
        }
    }

    fn identity(&self) -> Result<Option<Identity>, WayError> {
        let chain = self.data("client-certificate-data", "client-certificate")?;
        let key = self.data("client-key-data", "client-key")?;
        match (chain, key.map(Zeroizing::new)) {
            (Some(chain), Some(key)) => way::identity(&chain, &key).map(Some),
            (None, None) => Ok(None),
            (Some(_), None) => Err(wrong("client-key", "it is missing beside the certificate")),
            (None, Some(_)) => Err(wrong("client-certificate", "it is missing beside the key")),
        }
    }

    fn credential(&self, cluster: &Part<'_>) -> Result<Credential, WayError> {
        if let Some(provider) = self.node.get("auth-provider").filter(|n| !n.is_nothing()) {
            let token = provider
                .get("config")
                .and_then(|config| config.get("id-token"));
            let is_oidc = provider.get("name").and_then(Node::text) == Some("oidc");
            return match token.and_then(Node::text).filter(|_| is_oidc) {
                Some(token) => Ok(Credential::Fixed(bearer(token)?)),
                None => Err(wrong(
                    "auth-provider",
                    "Kubernetes 1.26 dropped it; use a program (exec) that says the credentials",
                )),
            };
        }
        if let (Some(name), Some(password)) = (self.text("username"), self.text("password")) {
            return Ok(Credential::Fixed(basic(name, password)?));
        }
        if let Some(path) = self.file("tokenFile") {
            read(&path)?;
            return Ok(Credential::File(path));
        }
        if let Some(token) = self.text("token") {
            return Ok(Credential::Fixed(bearer(token)?));
        }
        let Some(node) = self.node.get("exec").filter(|node| !node.is_nothing()) else {
            return Ok(Credential::None);
        };
        let exec = Part {
            node,
            folder: self.folder,
        };
        exec.plugin(cluster)
            .map(|plugin| Credential::Program(Box::new(plugin)))
    }

    fn plugin(&self, cluster: &Part<'_>) -> Result<Plugin, WayError> {
        let command = self.text("command");
        let command = command.ok_or_else(|| wrong("exec", "it has no command"))?;
        // A bare name is looked for in PATH.
        let command = match command.contains('/') {
            true => self.folder.join(command),
            false => PathBuf::from(command),
        };
        let list = |key| self.node.get(key).map(Node::items).unwrap_or_default();
        let args = list("args")
            .iter()
            .map(|arg| arg.text().unwrap_or_default());
        let env = list("env").iter().filter_map(|pair| {
            let name = pair.get("name")?.text()?;
            let value = pair.get("value").and_then(Node::text);
            Some((name.to_owned(), value.unwrap_or_default().to_owned()))
        });
        let interaction = match self.text("interactiveMode") {
            None | Some("IfAvailable") => Interaction::IfAvailable,
            Some("Always") => Interaction::Always,
            Some("Never") => Interaction::Never,
            Some(_) => {
                let why = "it must be Always, IfAvailable or Never";
                return Err(wrong("interactiveMode", why));
            }
        };
        let api_version = self.text("apiVersion");
        let api_version = api_version.ok_or_else(|| wrong("exec", "it has no apiVersion"))?;
        Ok(Plugin {
            command,
            args: args.map(str::to_owned).collect(),
            env: env.collect(),
            api_version: api_version.to_owned(),
            interaction,
            cluster: match self.is("provideClusterInfo")? {
                true => Some(cluster.told()?),
                false => None,
            },
            install_hint: self.text("installHint").map(str::to_owned),
        })
    }

    /// What a program is told of a cluster.
    fn told(&self) -> Result<Value, WayError> {
        let mut told = serde_json::Map::new();
        for key in ["server", "tls-server-name", "proxy-url"] {
            if let Some(text) = self.text(key) {
                told.insert(key.to_owned(), json!(text));
            }
        }
        for key in ["insecure-skip-tls-verify", "disable-compression"] {
            if self.is(key)? {
                told.insert(key.to_owned(), json!(true));
            }
        }
        const DATA: &str = "certificate-authority-data";
        if let Some(pem) = self.data(DATA, "certificate-authority")? {
            told.insert(DATA.to_owned(), json!(encoded(&pem)));
        }
        let extensions = self.node.get("extensions").map(Node::items);
        let config = extensions.unwrap_or_default().iter().find(|extension| {
            let name = extension.get("name").and_then(Node::text);
            name == Some("client.authentication.k8s.io/exec")
        });
        if let Some(config) = config.and_then(|config| config.get("extension")) {
            told.insert("config".to_owned(), config.to_json());
        }
        Ok(Value::Object(told))
    }

    /// Whom to act as, where that is somebody else.
    fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, WayError> {
        let mut headers = Vec::new();
        let mut add = |name: String, value: &str| {
            let name = HeaderName::try_from(name).map_err(|_| wrong("as-user-extra", "a key"));
            let value = HeaderValue::from_str(value);
            let value = value.map_err(|_| wrong("as", "it cannot be in a header"));
            headers.push((name?, value?));
            Ok::<_, WayError>(())
        };
        for (key, header) in [("as", "impersonate-user"), ("as-uid", "impersonate-uid")] {
            if let Some(text) = self.text(key) {
                add(header.to_owned(), text)?;
            }
        }
        let groups = self.node.get("as-groups").map(Node::items);
        for group in groups.unwrap_or_default().iter().filter_map(Node::text) {
            add("impersonate-group".to_owned(), group)?;
        }
        let extra = self.node.get("as-user-extra").map(Node::members);
        for (key, values) in extra.unwrap_or_default() {
            for value in values.items().iter().filter_map(Node::text) {
                add(format!("impersonate-extra-{}", escaped(key)), value)?;
            }
        }
        Ok(headers)
    }
}

/// What a header's name cannot have, in per cent.
fn escaped(key: &str) -> String {
    let mut text = String::new();
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(char::from(byte)),
            b'!' | b'#' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
            | b'|' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02x}")),
        }
    }
    text
}

#[cfg(test)]
mod tests;

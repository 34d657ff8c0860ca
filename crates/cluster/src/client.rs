//! The way to the API server: a kubeconfig, or the ServiceAccount of a Pod.

use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::{HeaderValue, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::answers;
use crate::children::Room;
use crate::error::{Cause, Error, Operation};

/// The name under which changes are recorded in `managedFields`.
pub(crate) const FIELD_MANAGER: &str = "tekseal-controller";

/// How long one request may take. Watches have their own limits.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connection to one API server; cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: kube::Client,
    /// For all clones together.
    pub(crate) room: Room,
    host: String,
    port: u16,
    namespace: String,
}

impl Cluster {
    /// Finds the API server: by the file if one is given, else by `KUBECONFIG` and `~/.kube/config`, else by what a Pod has. `program`
    /// becomes the user agent and the field manager.
    ///
    /// # Errors
    /// If none of them says how to get there. Nothing is sent yet.
    pub async fn connect(kubeconfig: Option<&Path>, program: &'static str) -> Result<Self, Error> {
        let config = match kubeconfig {
            Some(path) => from_file(path).await?,
            None => Config::infer().await.map_err(|error| Error::NoWay {
                file: None,
                source: Box::new(error),
            })?,
        };
        Self::with(config, program)
    }

    pub(crate) fn with(mut config: Config, program: &'static str) -> Result<Self, Error> {
        let agent = (header::USER_AGENT, HeaderValue::from_static(program));
        config.headers.push(agent);
        config.connect_timeout = Some(Duration::from_secs(10));
        // It would try again for minutes without a word; `answers` does it.
        config.default_retry = false;
        let url = config.cluster_url.clone();
        let namespace = config.default_namespace.clone();
        let client = kube::Client::try_from(config).map_err(|error| Error::NoWay {
            file: None,
            source: Box::new(error),
        })?;
        let default_port = if url.scheme_str() == Some("http") {
            80
        } else {
            443
        };
        Ok(Self {
            client: answers::bounded(client, &namespace),
            room: Room::new(),
            host: url.host().unwrap_or_default().to_owned(),
            port: url.port_u16().unwrap_or(default_port),
            namespace,
        })
    }

    /// The API server's clock, to the second; nothing where it does not say what time it is.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn time(&self) -> Result<Option<Timestamp>, Error> {
        let request = http::Request::get("/version")
            .body(kube::client::Body::empty())
            .expect("the path is one");
        let answer = self.client.send(request);
        let what = "the version of the API server";
        let answer = self.call(Operation::Read, what, answer).await?;
        let date = answer.headers().get(header::DATE);
        let text = date.and_then(|date| date.to_str().ok());
        Ok(text.and_then(|text| DateTimeParser::new().parse_timestamp(text).ok()))
    }

    /// Host and port of the API server, as they are configured.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The addresses of the API server; several where its name has several, none where it cannot be resolved now.
    pub async fn addresses(&self) -> Vec<IpAddr> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        match tokio::net::lookup_host((bare, self.port)).await {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// The namespace of the kubeconfig's context or of the Pod; `default` where neither says one.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Waits for an answer, but not for ever.
    pub(crate) async fn call<T>(
        &self,
        operation: Operation,
        what: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(DEADLINE, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Error::of(operation, what, error.into())),
            Err(_) => Err(Error::of(
                operation,
                what,
                Cause::TimeOut(DEADLINE.as_secs()),
            )),
        }
    }
}

async fn from_file(path: &Path) -> Result<Config, Error> {
    let no_way = |error: kube::config::KubeconfigError| Error::NoWay {
        file: Some(path.display().to_string()),
        source: Box::new(error),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(no_way)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(no_way)
}

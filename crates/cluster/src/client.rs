//! The way to the API server: a kubeconfig, or the ServiceAccount of a Pod.

use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::{Uri, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::answers;
use crate::children::Room;
use crate::connection::Connection;
use crate::error::{Cause, Error, Operation};
use crate::way::Way;

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
    /// If none of them says how to get there, or a program that says the credentials does not. Nothing is sent yet.
    pub async fn connect(kubeconfig: Option<&Path>, program: &'static str) -> Result<Self, Error> {
        let no_way = |source| Error::NoWay {
            file: kubeconfig.map(|path| path.display().to_string()),
            source,
        };
        let way = match kubeconfig {
            Some(path) => Way::of_file(path),
            None => Way::infer(),
        };
        let way = way.map_err(|error| no_way(error.into()))?;
        let (server, namespace) = (way.server.clone(), way.namespace.clone());
        let connection = Connection::open(way, program).await.map_err(no_way)?;
        Ok(Self::through(connection, &server, namespace))
    }

    /// A server that is asked without any credential.
    #[cfg(test)]
    pub(crate) fn plain(
        server: Uri,
        program: &'static str,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let way = Way::plain(server.clone());
        let namespace = way.namespace.clone();
        Ok(Self::through(
            Connection::plain(way, program)?,
            &server,
            namespace,
        ))
    }

    fn through(connection: Connection, server: &Uri, namespace: String) -> Self {
        let default_port = if server.scheme_str() == Some("http") {
            80
        } else {
            443
        };
        Self {
            client: answers::bounded(connection, &namespace),
            room: Room::new(),
            host: server.host().unwrap_or_default().to_owned(),
            port: server.port_u16().unwrap_or(default_port),
            namespace,
        }
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

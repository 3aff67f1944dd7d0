//! Connections to one origin: which way they lead, whom they trust, and whether a request has begun to leave.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use ureq::tls::TlsConfig;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector, Transport, time,
};
use ureq::{Agent, Error, Timeout};

use super::tcp::TcpConnector;
use super::trust;
use crate::domain::proxy::{self, Proxy};
use crate::io::dns::Names;

/// A connection must be there within this time, its handshake included.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// An idle connection older than this is not used again. Servers close theirs after five seconds: a request on a
/// connection that is being closed would be one without an answer.
const IDLE_AT_MOST: Duration = Duration::from_secs(4);

/// As many connections wait for their next request: one for each order that is sent beside another.
const MOST_IDLE: usize = 10;

/// Read and written at once, in bytes. The library's own are four times as large, and touched whole before the first byte.
const BUFFER: usize = 32 * 1024;

/// What the settings say about the way to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// `[api] proxy`
    pub proxy: Option<String>,
    /// `[api] ca_file`, absolute.
    pub ca_file: Option<PathBuf>,
}

/// The way to one server under the settings and the environment.
pub(super) struct Way {
    pub(super) proxy: Option<Proxy>,
    roots: Option<trust::Roots>,
}

impl Way {
    /// Finds the way to `url`.
    ///
    /// # Errors
    ///
    /// A sentence when the proxy or the roots that are named cannot be used.
    pub(super) fn find(url: &str, route: &Route) -> Result<Self, String> {
        let text = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let proxy = proxy::choose(url, route.proxy.as_deref(), text)?;
        let secure = url.starts_with("https://") || proxy.as_ref().is_some_and(|proxy| proxy.url.starts_with("https"));
        let roots = secure.then(|| trust::load(route.ca_file.as_deref(), |name| std::env::var_os(name)));
        Ok(Self { proxy, roots: roots.transpose()? })
    }

    /// One line for the doctor.
    pub(super) fn describe(&self) -> String {
        let proxy = match &self.proxy {
            Some(proxy) => format!("reached through the proxy {} ({})", proxy.shown, proxy.source),
            None => "reached directly".to_owned(),
        };
        let roots = self.roots.as_ref().map(|roots| format!("; certificates are checked against {}", roots.source));
        format!("{proxy}{}", roots.unwrap_or_default())
    }

    /// Builds the client for it.
    ///
    /// # Errors
    ///
    /// A sentence when the library does not take the proxy.
    pub(super) fn agent(self) -> Result<Agent, String> {
        let proxy = match &self.proxy {
            Some(proxy) => Some(
                ureq::Proxy::new(&proxy.url)
                    .map_err(|_| format!("{} names a proxy that cannot be used", proxy.source))?,
            ),
            None => None,
        };
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_resolve(Some(CONNECT_WITHIN))
            .timeout_connect(Some(CONNECT_WITHIN))
            .max_idle_age(IDLE_AT_MOST)
            .max_idle_connections_per_host(MOST_IDLE)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .proxy(proxy)
            .user_agent(concat!("atelier-heartbeat/", env!("CARGO_PKG_VERSION")));
        if let Some(roots) = self.roots {
            config = config.tls_config(TlsConfig::builder().root_certs(roots.certs).build());
        }
        let chain = ().chain(ConnectProxyConnector::default()).chain(TcpConnector).chain(RustlsConnector::default());
        Ok(Agent::with_parts(config.build(), Tracked(chain), Names))
    }
}

thread_local! {
    /// Whether the request that this thread is sending has begun to leave.
    static BEGUN: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this thread begins a request.
pub(super) fn begin() {
    BEGUN.set(false);
}

/// Whether the request that this thread began may have left: at least one byte of it was given to a connection.
pub(super) fn has_begun() -> bool {
    BEGUN.get()
}

/// Opens connections and watches the first byte of each request. CONNECT to a proxy and the TLS handshake do not count.
#[derive(Debug)]
struct Tracked<T>(T);

impl<C: Connector> Connector for Tracked<C> {
    type Out = Tracked<C::Out>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<()>) -> Result<Option<Self::Out>, Error> {
        let opened = self.0.connect(details, chained);
        BEGUN.set(false);
        Ok(opened?.map(Tracked))
    }
}

impl<T: Transport> Transport for Tracked<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if !BEGUN.get() && matches!(timeout.after, time::Duration::Exact(left) if left.is_zero()) {
            return Err(Error::Timeout(Timeout::Connect));
        }
        BEGUN.set(true);
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        match self.0.await_input(timeout) {
            // Of a refusal before the body, the library wants more although it has all of it.
            Err(Error::Io(_)) if !self.0.buffers().input().is_empty() => Ok(false),
            read => read,
        }
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

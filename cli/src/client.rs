//! The connection to the collector.

use std::time::Duration;

use firstlook_proto::wire::configs_client::ConfigsClient as Configs;
use firstlook_proto::wire::diagnosis_client::DiagnosisClient as Diagnosis;
use firstlook_proto::wire::query_client::QueryClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::config::Target;
use crate::exit::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Taking a snapshot is the longest request: the agent may work for 60 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Largest message taken from the collector, in bytes.
const MESSAGE_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// A connected client.
pub type Client = QueryClient<InterceptedService<Channel, Bearer>>;
/// One for configurations, over the same connection.
pub type ConfigsClient = Configs<InterceptedService<Channel, Bearer>>;
pub type DiagnosisClient = Diagnosis<InterceptedService<Channel, Bearer>>;

/// All of one connection.
pub struct Clients {
    /// Questions.
    pub query: Client,
    /// Configurations of agents.
    pub configs: ConfigsClient,
    /// Theories and the catalogue.
    pub diagnosis: DiagnosisClient,
}

/// Shows the bearer token with every request, where there is one.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connects over TLS, with a certificate or a bearer token.
///
/// # Errors
/// Usage for a malformed address or missing credentials; cannot-see when the collector does not answer.
pub async fn connect(target: &Target) -> Result<Clients, Failure> {
    let file = |name: &str| {
        let path = target.credentials.join(name);
        std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!(
                "cannot read credentials {}: {error}",
                path.display()
            ))
        })
    };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(file("ca.pem")?));
    if target.token.is_none() {
        tls = tls.identity(Identity::from_pem(file("cert.pem")?, file("key.pem")?));
    }
    let bearer = match &target.token {
        Some(token) => Some(
            format!("Bearer {token}")
                .parse()
                .map_err(|_| Failure::usage("--token holds what no token can hold"))?,
        ),
        None => None,
    };
    let malformed = |e: tonic::transport::Error| {
        Failure::usage(format!("--collector {}: {}", target.collector, chain(&e)))
    };
    let endpoint = Endpoint::from_shared(target.collector.clone())
        .map_err(malformed)?
        .tls_config(tls)
        .map_err(malformed)?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT);
    let channel = endpoint.connect().await.map_err(|error| {
        Failure::cannot_see(format!(
            "cannot reach the collector at {}: {}; is it running, and do the credentials belong to it?",
            target.collector,
            chain(&error)
        ))
    })?;
    let configs = Configs::with_interceptor(channel.clone(), Bearer(bearer.clone()));
    let diagnosis = Diagnosis::with_interceptor(channel.clone(), Bearer(bearer.clone()));
    let query = QueryClient::with_interceptor(channel, Bearer(bearer));
    Ok(Clients {
        query: query.max_decoding_message_size(MESSAGE_LIMIT_BYTES),
        configs: configs.max_decoding_message_size(MESSAGE_LIMIT_BYTES),
        diagnosis: diagnosis.max_decoding_message_size(MESSAGE_LIMIT_BYTES),
    })
}

/// An error with its causes, outermost first, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

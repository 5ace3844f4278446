//! The scripts that run, and how a new configuration changes them.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use polyport_backends::{
    Fetch, FetchDone, FetchRequest, FetchResponse, Node, Provider, ScriptBackend, ScriptOptions,
};
use polyport_core::Hub;
use polyport_net::{ClientRequest, HttpClient, Tasks};

use crate::{
    config::{BackendConfig, BackendKindConfig},
    secrets::Secrets,
};

/// What every backend is given.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) hub: Arc<Hub>,
    pub(crate) node: Arc<Node>,
    pub(crate) tasks: Tasks,
    pub(crate) client: HttpClient,
    pub(crate) secrets: Arc<Secrets>,
}

/// The backends of a configuration, by name.
#[derive(Clone, Default)]
pub(crate) struct Backends(Vec<Running>);

#[derive(Clone)]
struct Running {
    config: BackendConfig,
    script: Arc<ScriptBackend>,
}

impl Backends {
    /// The backends of a new configuration. Those that run already and are configured as before go on; nothing of what runs
    /// is touched.
    ///
    /// # Errors
    /// The first backend that cannot be started, with its name.
    pub(crate) fn prepare(
        &self,
        configs: &[BackendConfig],
        surroundings: &Surroundings,
    ) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for config in configs {
            let running = self.0.iter().find(|running| running.config == *config);
            let script = match running {
                Some(running) => Arc::clone(&running.script),
                None => start(config, surroundings)
                    .with_context(|| format!("backend `{}`", config.name))?,
            };
            all.push(Running {
                config: config.clone(),
                script,
            });
        }
        Ok(Self(all))
    }

    /// Loads every script anew that was running before.
    pub(crate) fn reload_scripts(&self) {
        for running in &self.0 {
            running.script.reload();
        }
    }

    /// The backend of that name.
    pub(crate) fn provider(&self, name: &str) -> Option<Arc<dyn Provider>> {
        let running = self.0.iter().find(|running| running.config.name == name)?;
        Some(Arc::clone(&running.script) as Arc<dyn Provider>)
    }
}

fn start(
    config: &BackendConfig,
    surroundings: &Surroundings,
) -> anyhow::Result<Arc<ScriptBackend>> {
    let BackendKindConfig::Script(script) = &config.kind;
    let options = ScriptOptions {
        file: script.file.clone(),
        instances: script.instances,
        memory: script.memory,
        time: script.time,
        timeout: config.timeout,
        queue: config.queue,
        fetch: script.fetch.clone(),
        watch: script.watch,
    };
    let fetch = Fetching {
        client: surroundings.client.clone(),
        tasks: surroundings.tasks.clone(),
    };
    Ok(ScriptBackend::start(
        &config.name,
        options,
        Arc::clone(&surroundings.hub),
        Arc::clone(&surroundings.node),
        Some(Arc::new(fetch)),
    )?)
}

/// What `fetch` in scripts reaches the network through.
struct Fetching {
    client: HttpClient,
    tasks: Tasks,
}

impl Fetch for Fetching {
    fn start(&self, request: FetchRequest, done: FetchDone) {
        let client = self.client.clone();
        self.tasks.spawn(async move {
            done(fetch(&client, request).await);
        });
    }
}

async fn fetch(client: &HttpClient, request: FetchRequest) -> Result<FetchResponse, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|error| error.to_string())?;
        let value = HeaderValue::try_from(value.as_str()).map_err(|error| error.to_string())?;
        headers.append(name, value);
    }
    let request = ClientRequest {
        method: Method::try_from(request.method.as_str()).map_err(|error| error.to_string())?,
        url: request.url,
        headers,
        body: Bytes::from(request.body),
        timeout: request.timeout,
        max_body: request.max_body,
    };
    let response = client
        .send(request)
        .await
        .map_err(|error| error.to_string())?;
    let headers = response.headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    Ok(FetchResponse {
        status: response.status.as_u16(),
        headers: headers.collect(),
        body: response.body.to_vec(),
    })
}

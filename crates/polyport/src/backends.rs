//! The scripts and services that run, and how a new configuration changes them.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use polyport_backends::{
    BreakerOptions, Fetch, FetchDone, FetchRequest, FetchResponse, HttpBackend, HttpOptions,
    HttpRoute, Node, Provider, ScriptBackend, ScriptOptions, Secret,
};
use polyport_core::{Hooks, Hub};
use polyport_net::{ClientRequest, HttpClient, Tasks};
use tokio::runtime::Handle;

use crate::{
    config::{BackendConfig, BackendKindConfig, HookName, HttpConfig, ScriptConfig},
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
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Script(Arc<ScriptBackend>),
    Http {
        backend: Arc<HttpBackend>,
        /// What it is to work with once the configuration is put in force.
        next: Option<HttpOptions>,
    },
}

impl Backends {
    /// The backends of a new configuration. Those that run already and are configured as before go on; nothing of what runs
    /// is touched before [`Backends::put_in_force`].
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
            let known = self.0.iter().find(|known| known.config.name == config.name);
            let backend = prepare(known, config, surroundings)
                .with_context(|| format!("backend `{}`", config.name))?;
            all.push(Running {
                config: config.clone(),
                backend,
            });
        }
        Ok(Self(all))
    }

    /// From now on services are asked as the new configuration says.
    pub(crate) fn put_in_force(&mut self) {
        for running in &mut self.0 {
            if let Backend::Http { backend, next } = &mut running.backend
                && let Some(options) = next.take()
            {
                backend
                    .reconfigure(options)
                    .expect("a backend with these options was made when they were prepared");
            }
        }
    }

    /// Loads every script anew that went on from `before`.
    pub(crate) fn reload_scripts(&self, before: &Self) {
        let was_running = |script: &Arc<ScriptBackend>| {
            before.0.iter().any(|running| {
                matches!(&running.backend, Backend::Script(other) if Arc::ptr_eq(other, script))
            })
        };
        for running in &self.0 {
            if let Backend::Script(script) = &running.backend
                && was_running(script)
            {
                script.reload();
            }
        }
    }

    /// The backend of that name.
    pub(crate) fn provider(&self, name: &str) -> Option<Arc<dyn Provider>> {
        let running = self.0.iter().find(|running| running.config.name == name)?;
        Some(match &running.backend {
            Backend::Script(script) => Arc::clone(script) as Arc<dyn Provider>,
            Backend::Http { backend, .. } => Arc::clone(backend) as Arc<dyn Provider>,
        })
    }
}

/// What stands behind a name now, where it can go on; else something new.
fn prepare(
    known: Option<&Running>,
    config: &BackendConfig,
    surroundings: &Surroundings,
) -> anyhow::Result<Backend> {
    match &config.kind {
        BackendKindConfig::Script(script) => match known {
            Some(Running {
                config: before,
                backend: backend @ Backend::Script(_),
            }) if before == config => Ok(backend.clone()),
            _ => start_script(config, script, surroundings).map(Backend::Script),
        },
        BackendKindConfig::Http(http) => {
            let options = http_options(config, http, surroundings)?;
            let hooks = options.hooks;
            let fresh = HttpBackend::new(
                &config.name,
                options.clone(),
                Arc::clone(&surroundings.hub),
                surroundings.tasks.clone(),
                surroundings.client.clone(),
            )?;
            Ok(match known.map(|known| &known.backend) {
                // The one that runs knows its sessions; the fresh one has shown that the options are good.
                Some(Backend::Http { backend, .. }) if backend.hooks() == hooks => Backend::Http {
                    backend: Arc::clone(backend),
                    next: Some(options),
                },
                _ => Backend::Http {
                    backend: fresh,
                    next: None,
                },
            })
        }
    }
}

fn start_script(
    config: &BackendConfig,
    script: &ScriptConfig,
    surroundings: &Surroundings,
) -> anyhow::Result<Arc<ScriptBackend>> {
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
        runtime: Handle::current(),
    };
    Ok(ScriptBackend::start(
        &config.name,
        options,
        Arc::clone(&surroundings.hub),
        Arc::clone(&surroundings.node),
        Some(Arc::new(fetch)),
    )?)
}

fn http_options(
    config: &BackendConfig,
    http: &HttpConfig,
    surroundings: &Surroundings,
) -> anyhow::Result<HttpOptions> {
    let mut secrets = Vec::new();
    for secret in &http.secrets {
        secrets.push(Secret::new(surroundings.secrets.load(secret)?));
    }
    let routes = http.routes.iter().map(|route| HttpRoute {
        pattern: route.pattern.clone(),
        timeout: route.timeout,
        idempotent: route.idempotent,
    });
    let wants = |hook| http.hooks.contains(&hook);
    Ok(HttpOptions {
        url: http.url.clone(),
        actions: http.actions.clone(),
        hooks: Hooks {
            open: wants(HookName::Open),
            close: wants(HookName::Close),
            join: wants(HookName::Join),
            publish: wants(HookName::Publish),
        },
        timeout: config.timeout,
        routes: routes.collect(),
        concurrency: http.concurrency,
        queue: config.queue,
        max_answer: http.answer,
        http2: http.http2,
        secrets,
        breaker: BreakerOptions {
            failures: http.breaker_failures,
            pause: http.breaker_pause,
        },
        ..HttpOptions::default()
    })
}

/// What `fetch` in scripts reaches the network through.
struct Fetching {
    client: HttpClient,
    tasks: Tasks,
    /// Scripts run on threads of their own.
    runtime: Handle,
}

impl Fetch for Fetching {
    fn start(&self, request: FetchRequest, done: FetchDone) {
        let client = self.client.clone();
        let _inside = self.runtime.enter();
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

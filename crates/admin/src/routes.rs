//! What each path answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue},
};
use matchit::Router;
use prometheus::TextEncoder;

use crate::{
    AdminState,
    api::{Api, Verb},
    console,
    streamed::AnswerBody,
};

const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The exposition format's own type, so that Prometheus need not guess.
const METRICS_TEXT: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What can be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route {
    Metrics,
    Healthz,
    Readyz,
    /// The page, and the files that it consists of.
    Console,
    Api(Verb),
}

pub(crate) fn router() -> Router<Route> {
    let mut router = Router::new();
    for (path, route) in [
        ("/metrics", Route::Metrics),
        ("/healthz", Route::Healthz),
        ("/readyz", Route::Readyz),
        ("/", Route::Console),
        ("/console/{*file}", Route::Console),
    ] {
        router
            .insert(path, route)
            .expect("the paths are constant and distinct");
    }
    // Who answers a path knows what its methods mean.
    let is_first = |verb: &Verb| *verb == verb.asked_by(&Method::GET);
    for verb in Verb::ALL.into_iter().filter(is_first) {
        router
            .insert(verb.path(), Route::Api(verb))
            .expect("the paths are constant and distinct");
    }
    router
}

/// Answers a request. Outside of the API a body is never read, and the connection is closed. For HEAD the server leaves
/// the answer's body out.
pub(crate) async fn answer(
    router: &Router<Route>,
    state: &AdminState,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let path = request.uri().path().to_owned();
    let found = router.at(&path);
    if let Some(api) = state.api() {
        match &found {
            Ok(found) => {
                if let Route::Api(verb) = *found.value {
                    let id = found.params.get("id").unwrap_or_default();
                    return api.answer(verb, id, state, request).await;
                }
            }
            Err(_) if path == "/api" || path.starts_with("/api/") => {
                return Api::not_found().map(Into::into);
            }
            Err(_) => {}
        }
    }
    let (route, file) = match &found {
        Ok(found) => (Some(*found.value), found.params.get("file")),
        Err(_) => (None, None),
    };
    let mut response = answer_operator(route, file, state, &request).await;
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response.map(Into::into)
}

async fn answer_operator(
    route: Option<Route>,
    file: Option<&str>,
    state: &AdminState,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    let Some(route @ (Route::Metrics | Route::Healthz | Route::Readyz | Route::Console)) = route
    else {
        return not_found();
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "method not allowed: use GET or HEAD\n",
        );
        let methods = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, methods);
        return response;
    }
    match route {
        Route::Metrics => metrics(state).await,
        Route::Healthz => text(StatusCode::OK, "ok\n"),
        Route::Console => {
            let found = console::answer(file, request.headers()).await;
            found.unwrap_or_else(not_found)
        }
        _ => readyz(state),
    }
}

fn not_found() -> Response<Full<Bytes>> {
    text(
        StatusCode::NOT_FOUND,
        "not found: there is /metrics, /healthz, /readyz, and the console at /\n",
    )
}

async fn metrics(state: &AdminState) -> Response<Full<Bytes>> {
    let registry = state.registry().clone();
    // The process figures come from files, one of them as long as the list of open connections.
    let gathered = tokio::task::spawn_blocking(move || {
        TextEncoder::new().encode_to_string(&registry.gather())
    });
    let problem = match gathered.await {
        Ok(Ok(figures)) => {
            let mut response = text(StatusCode::OK, figures);
            response.headers_mut().insert(CONTENT_TYPE, METRICS_TEXT);
            return response;
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(problem, "metrics cannot be written");
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "metrics cannot be written; the log says why\n",
    )
}

fn readyz(state: &AdminState) -> Response<Full<Bytes>> {
    let reasons = state.readiness().reasons();
    if reasons.is_empty() {
        return text(StatusCode::OK, "ready\n");
    }
    text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PLAIN_TEXT);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! From a token to an identity.

use std::{fmt, fs, io::Read, path::Path, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use polyport_core::{
    Expiry, Identity, Millis, OnExpiry, OpenRequest, Sites, TokenError, TokenVerifier, Verified,
};
use polyport_net::{ClientRequest, HttpClient, Tasks};

use crate::{
    JwksRules, JwksSource, RulesError, TokenRules,
    claims::Claims,
    jwks::{self, Fetch, Published},
    key::Key,
    site::SiteRules,
    token::{Token, invalid, unavailable},
};

/// Checks tokens by one set of rules. Cloning shares the keys.
#[derive(Clone)]
pub struct Verifier {
    shared: Arc<Shared>,
    /// Nothing if identities do not end.
    on_expiry: Option<OnExpiry>,
    sites: Arc<SiteRules>,
}

struct Shared {
    rules: TokenRules,
    keys: Vec<Key>,
    published: Option<Arc<Published>>,
}

/// What the keys at hand say of a token.
enum Judged {
    /// One of them has signed it.
    Signed,
    /// It is no good, whatever keys there might be.
    Bad(TokenError),
    /// Newer keys may say otherwise.
    Unknown(TokenError),
}

impl TokenRules {
    /// Whether tokens could be checked by these rules; reads what files they name.
    ///
    /// # Errors
    /// [`RulesError`] says what is wrong, and nothing of the keys.
    pub fn check(&self) -> Result<(), RulesError> {
        self.ready().map(drop)
    }

    /// The keys that are known beforehand, and those that a file publishes.
    fn ready(&self) -> Result<(Vec<Key>, Option<Vec<Key>>), RulesError> {
        if self.user_claims.is_empty() {
            return Err(RulesError::NoUserClaim);
        }
        let mut keys: Vec<Key> = Vec::with_capacity(self.keys.len());
        for (index, rule) in self.keys.iter().enumerate() {
            let key = Key::new(rule).map_err(|error| RulesError::Key { index, error })?;
            let is_same = |known: &Key| {
                key.kid.is_some() && known.kid == key.kid && known.algorithm == key.algorithm
            };
            if keys.iter().any(is_same) {
                let algorithm = key.algorithm;
                return Err(RulesError::SameKid { index, algorithm });
            }
            keys.push(key);
        }
        let published = match &self.jwks {
            Some(jwks) => jwks.ready()?,
            None if keys.is_empty() => return Err(RulesError::NoKeys),
            None => None,
        };
        Ok((keys, published))
    }
}

impl JwksRules {
    /// The keys, where a file has them.
    fn ready(&self) -> Result<Option<Vec<Key>>, RulesError> {
        if self.algorithms.is_empty() {
            return Err(RulesError::NoAlgorithms);
        }
        if let Some(secret) = self
            .algorithms
            .iter()
            .find(|known| known.has_shared_secret())
        {
            return Err(RulesError::SharedSecret(*secret));
        }
        match &self.source {
            JwksSource::Url(url) => {
                HttpClient::check_url(url).map_err(RulesError::Url)?;
                Ok(None)
            }
            JwksSource::File(file) => read(file)
                .and_then(|text| jwks::parse(&text, &self.algorithms))
                .map(Some)
                .map_err(|reason| RulesError::File {
                    file: file.clone(),
                    reason,
                }),
        }
    }

    fn fetch(&self, client: &HttpClient) -> Fetch {
        match &self.source {
            JwksSource::Url(url) => {
                let (url, client, timeout) = (url.clone(), client.clone(), self.timeout);
                Box::new(move || {
                    let client = client.clone();
                    let request = ClientRequest {
                        method: Method::GET,
                        url: url.clone(),
                        headers: HeaderMap::new(),
                        body: Bytes::new(),
                        timeout,
                        max_body: jwks::MAX_SET,
                    };
                    Box::pin(async move {
                        let answer = client.send(request).await;
                        let answer = answer.map_err(|error| error.to_string())?;
                        match answer.status {
                            StatusCode::OK => Ok(answer.body),
                            status => Err(format!("the answer was {status}")),
                        }
                    })
                })
            }
            JwksSource::File(file) => {
                let file: Arc<Path> = file.as_path().into();
                Box::new(move || {
                    let file = Arc::clone(&file);
                    Box::pin(async move {
                        tokio::task::spawn_blocking(move || read(&file))
                            .await
                            .unwrap_or_else(|error| Err(error.to_string()))
                    })
                })
            }
        }
    }
}

fn read(file: &Path) -> Result<Bytes, String> {
    let mut text = Vec::new();
    fs::File::open(file)
        .and_then(|file| file.take(jwks::MAX_SET as u64 + 1).read_to_end(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() > jwks::MAX_SET {
        return Err("it is larger than 1 MiB".to_owned());
    }
    Ok(text.into())
}

impl Verifier {
    /// Begins to check tokens. A key set is fetched at once, with `client`, and kept fresh by a task of `tasks` until the
    /// last clone of the verifier is dropped; with one, this must be called inside a runtime.
    ///
    /// # Errors
    /// [`RulesError`] says what is wrong, and nothing of the keys.
    pub fn start(
        rules: TokenRules,
        tasks: &Tasks,
        client: &HttpClient,
    ) -> Result<Self, RulesError> {
        let (keys, known) = rules.ready()?;
        let published = rules
            .jwks
            .as_ref()
            .map(|jwks| Published::start(jwks.clone(), known, jwks.fetch(client), tasks));
        Ok(Self {
            on_expiry: Some(rules.on_expiry),
            sites: Arc::default(),
            shared: Arc::new(Shared {
                rules,
                keys,
                published,
            }),
        })
    }

    /// The same keys and rules with a listener's own policy: what becomes of a session whose token has expired (nothing:
    /// it stays who it is), and how the site of a page is found.
    #[must_use]
    pub fn with_policy(&self, on_expiry: Option<OnExpiry>, sites: &Arc<SiteRules>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            on_expiry,
            sites: Arc::clone(sites),
        }
    }

    /// [`TokenVerifier::verify`] as if it were `now`.
    #[must_use]
    pub fn verify_at(&self, token: &str, request: &OpenRequest, now: Millis) -> Verified {
        self.verified(token, now, || self.sites.site(request))
    }

    /// [`Verifier::verify_at`] for a token that came with no opening: it is on the site that it names, if it names one.
    #[must_use]
    pub fn verify_alone(&self, token: &str, now: Millis) -> Verified {
        self.verified(token, now, || None)
    }

    fn verified(
        &self,
        token: &str,
        now: Millis,
        site: impl FnOnce() -> Option<String>,
    ) -> Verified {
        let parsed = match Token::parse(token) {
            Ok(parsed) => parsed,
            Err(error) => return Verified::Now(Err(error)),
        };
        let error = match self.shared.judge(&parsed) {
            Judged::Signed => {
                return Verified::Now(self.identity(&parsed, now, site));
            }
            Judged::Bad(error) => return Verified::Now(Err(error)),
            Judged::Unknown(error) => error,
        };
        let published = self.shared.published.as_ref();
        let Some(newer) = published.and_then(|published| published.newer()) else {
            return Verified::Now(Err(error));
        };
        let verifier = self.clone();
        let token = token.to_owned();
        let site = site();
        Verified::Later(Box::pin(async move {
            newer.await;
            let token = Token::parse(&token)?;
            match verifier.shared.judge(&token) {
                Judged::Signed => verifier.identity(&token, now, || site),
                Judged::Bad(error) | Judged::Unknown(error) => Err(error),
            }
        }))
    }

    /// Who a token says it is whose signature is good.
    fn identity(
        &self,
        token: &Token<'_>,
        now: Millis,
        site: impl FnOnce() -> Option<String>,
    ) -> Result<Arc<Identity>, TokenError> {
        let rules = &self.shared.rules;
        let text = token.claims()?;
        let claims = Claims::parse(&text)?;
        let end = claims.judge(rules, now)?.zip(self.on_expiry);
        let expiry = end.map(|(at, then)| Expiry { at, then });
        claims.identity(rules, &text, expiry, site()).map(Arc::new)
    }
}

impl TokenVerifier for Verifier {
    fn verify(&self, token: &str, request: &OpenRequest) -> Verified {
        self.verify_at(token, request, Millis::now())
    }

    fn site(&self, request: &OpenRequest) -> Option<String> {
        self.sites.site(request)
    }
}

impl Shared {
    /// Looks for the key that has signed a token: first by its name, then among the keys without one. Of a published set,
    /// a token without `kid` takes the key of its algorithm only when there is just one.
    fn judge(&self, token: &Token<'_>) -> Judged {
        let alg = token.header.alg.as_str();
        let set = self
            .published
            .as_ref()
            .and_then(|published| published.set());
        let of_set = set
            .as_ref()
            .map(|set| set.keys.as_slice())
            .unwrap_or_default();
        let has_signed = |key: &&Key| key.has_signed(token.message, token.signature);
        let verdict = |is_signed: bool| match is_signed {
            true => Judged::Signed,
            false => Judged::Bad(invalid("invalid signature")),
        };
        if let Some(kid) = token.header.kid.as_deref() {
            let mut named = (self.keys.iter().chain(of_set))
                .filter(|key| key.kid.as_deref() == Some(kid))
                .peekable();
            if named.peek().is_some() {
                let mut fitting = named.filter(|key| key.algorithm.name() == alg).peekable();
                if fitting.peek().is_none() {
                    return Judged::Bad(invalid("invalid algorithm"));
                }
                return verdict(fitting.any(|key| has_signed(&key)));
            }
        }
        let has_kid = token.header.kid.is_some();
        let fits = |key: &&Key| key.algorithm.name() == alg && (!has_kid || key.kid.is_none());
        let own: Vec<&Key> = self.keys.iter().filter(fits).collect();
        if own.iter().any(has_signed) {
            return Judged::Signed;
        }
        let published: Vec<&Key> = of_set.iter().filter(fits).collect();
        if let [only] = published[..]
            && has_signed(&only)
        {
            return Judged::Signed;
        }
        let published_is_one = published.len() == 1;
        let signature = || invalid("invalid signature");
        let knows_algorithm = self.keys.iter().any(|key| key.algorithm.name() == alg);
        match &self.published {
            Some(published) if published.allows(alg) => Judged::Unknown(match set {
                None => unavailable(),
                Some(_) if !own.is_empty() || published_is_one => signature(),
                Some(_) if has_kid => unknown_key(),
                Some(_) => invalid("jwt does not say which key has signed it"),
            }),
            _ if !own.is_empty() => Judged::Bad(signature()),
            _ if knows_algorithm => Judged::Bad(unknown_key()),
            _ => Judged::Bad(invalid("invalid algorithm")),
        }
    }
}

fn unknown_key() -> TokenError {
    invalid("jwt signed by an unknown key")
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("keys", &self.shared.keys.len())
            .finish_non_exhaustive()
    }
}

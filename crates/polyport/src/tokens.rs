//! How tokens are checked now, and how a new configuration changes that for listeners that run.

use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use polyport_core::{Authentication, Json, OnExpiry, OpenRequest, Sites, TokenVerifier, Verified};
use polyport_identity::{
    Algorithm, JwksRules, JwksSource, KeyMaterial as Material, KeyRule, SiteRules, TokenRules,
    Verifier, sign,
};
use polyport_net::{HttpClient, Tasks};

use crate::{
    config::{
        AuthConfig, JwksConfig, JwksPlace, KeyMaterial, SecretConfig, TokenAlgorithm,
        TokenKeyConfig, TokensConfig,
    },
    secrets::Secrets,
};

/// The sets of rules of a configuration, by name.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Vec<Rules>);

#[derive(Clone)]
struct Rules {
    config: TokensConfig,
    /// Shared with the listeners, which see a replacement at once.
    current: Arc<Current>,
    /// What takes the place of the current verifier when the configuration is put in force.
    next: Option<Verifier>,
}

struct Current(ArcSwap<Verifier>);

impl Tokens {
    /// The rules of a new configuration; listeners go on with what they have until [`Tokens::put_in_force`].
    ///
    /// # Errors
    /// The first set of rules that cannot be used, with its name.
    pub(crate) fn prepare(
        &self,
        configs: &[TokensConfig],
        secrets: &Secrets,
        tasks: &Tasks,
        client: &HttpClient,
    ) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for config in configs {
            let known = self.0.iter().find(|rules| rules.config.name == config.name);
            let rules = match known {
                // Files may hold other keys now, so that only a configuration without any is the same as before.
                Some(rules) if rules.config == *config && !config.names_files() => rules.clone(),
                _ => {
                    let verifier = start(config, secrets, tasks, client)
                        .with_context(|| format!("tokens `{}`", config.name))?;
                    let current = known.map_or_else(
                        || Arc::new(Current(ArcSwap::from_pointee(verifier.clone()))),
                        |rules| Arc::clone(&rules.current),
                    );
                    Rules {
                        config: config.clone(),
                        current,
                        next: Some(verifier),
                    }
                }
            };
            all.push(rules);
        }
        Ok(Self(all))
    }

    /// From now on listeners check tokens by these rules.
    pub(crate) fn put_in_force(&mut self) {
        for rules in &mut self.0 {
            if let Some(next) = rules.next.take() {
                rules.current.0.store(Arc::new(next));
            }
        }
    }

    /// What a listener asks of tokens.
    pub(crate) fn authentication(
        &self,
        config: &AuthConfig,
        sites: &Arc<SiteRules>,
    ) -> Option<Authentication> {
        let rules = self
            .0
            .iter()
            .find(|rules| rules.config.name == config.tokens)?;
        Some(Authentication {
            verifier: Arc::new(ForListener {
                current: Arc::clone(&rules.current),
                on_expiry: config.on_expiry,
                sites: Arc::clone(sites),
            }),
            sources: config.sources.clone(),
            required: config.required,
        })
    }
}

/// The current rules with a listener's own policy.
struct ForListener {
    current: Arc<Current>,
    on_expiry: Option<OnExpiry>,
    sites: Arc<SiteRules>,
}

impl TokenVerifier for ForListener {
    fn verify(&self, token: &str, request: &OpenRequest) -> Verified {
        let verifier = self.current.0.load();
        verifier
            .with_policy(self.on_expiry, &self.sites)
            .verify(token, request)
    }

    fn site(&self, request: &OpenRequest) -> Option<String> {
        self.sites.site(request)
    }
}

/// A token for a user that rules whose secret was made up for this run accept, for people who try the gateway out.
pub(crate) fn sample(configs: &[TokensConfig], secrets: &Secrets, now: u64) -> Option<String> {
    let mut keys = configs.iter().flat_map(|config| &config.keys);
    let made_up = keys.find(|key| key.material == KeyMaterial::Secret(SecretConfig::Random))?;
    if made_up.algorithm != TokenAlgorithm::HS256 {
        return None;
    }
    #[derive(serde::Serialize)]
    struct Claims {
        sub: &'static str,
        exp: u64,
    }
    let claims = Json::encode(&Claims {
        sub: "7",
        exp: now + 86_400,
    });
    let secret = secrets.load(&SecretConfig::Random).ok()?;
    Some(sign(&secret, &claims))
}

/// A key as the checks of tokens take it.
pub(crate) fn key_rule(key: &TokenKeyConfig, secrets: &Secrets) -> anyhow::Result<KeyRule> {
    let material = match &key.material {
        KeyMaterial::Secret(secret) => Material::Secret(secrets.load(secret)?),
        KeyMaterial::PublicKey(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Material::PublicKey(text)
        }
    };
    Ok(KeyRule {
        algorithm: algorithm(key.algorithm),
        kid: key.kid.clone(),
        material,
    })
}

/// What checks tokens by these rules.
pub(crate) fn start(
    config: &TokensConfig,
    secrets: &Secrets,
    tasks: &Tasks,
    client: &HttpClient,
) -> anyhow::Result<Verifier> {
    let keys = config.keys.iter().map(|key| key_rule(key, secrets));
    let keys = keys.collect::<anyhow::Result<_>>()?;
    let mut rules = TokenRules {
        keys,
        jwks: config.jwks.as_ref().map(jwks),
        issuer: config.issuer.iter().cloned().collect(),
        audience: config.audience.clone(),
        leeway: config.leeway,
        require_expiry: config.require_expiry,
        site_claim: config.site_claim.clone(),
        ..TokenRules::default()
    };
    if let Some(claim) = &config.user_claim {
        rules.user_claims = vec![claim.clone()];
    }
    Ok(Verifier::start(rules, tasks, client)?)
}

fn jwks(config: &JwksConfig) -> JwksRules {
    JwksRules {
        source: match &config.from {
            JwksPlace::Url(url) => JwksSource::Url(url.clone()),
            JwksPlace::File(path) => JwksSource::File(path.clone()),
        },
        algorithms: config.algorithms.iter().copied().map(algorithm).collect(),
        refresh: config.refresh,
        stale: config.stale,
        ..JwksRules::default()
    }
}

fn algorithm(name: TokenAlgorithm) -> Algorithm {
    match name {
        TokenAlgorithm::HS256 => Algorithm::Hs256,
        TokenAlgorithm::HS384 => Algorithm::Hs384,
        TokenAlgorithm::HS512 => Algorithm::Hs512,
        TokenAlgorithm::RS256 => Algorithm::Rs256,
        TokenAlgorithm::RS384 => Algorithm::Rs384,
        TokenAlgorithm::RS512 => Algorithm::Rs512,
        TokenAlgorithm::PS256 => Algorithm::Ps256,
        TokenAlgorithm::PS384 => Algorithm::Ps384,
        TokenAlgorithm::PS512 => Algorithm::Ps512,
        TokenAlgorithm::ES256 => Algorithm::Es256,
        TokenAlgorithm::ES384 => Algorithm::Es384,
        TokenAlgorithm::EdDSA => Algorithm::EdDsa,
    }
}

//! Putting the configuration as it stands now in force, or saying why not and changing nothing.

use polyport_admin::{AdminState, ChangedSetting, Reloaded};
use tracing::{error, info, warn};

use crate::{
    config::{Config, Inputs, Loaded, Problems},
    gateway::Gateway,
    logging::LogHandle,
};

/// What a reload changes.
pub(crate) struct Reloading<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) log: &'a LogHandle,
    pub(crate) admin: &'a AdminState,
}

impl Reloading<'_> {
    /// Reads the configuration again and puts it in force; `loaded` is the one that is, then and before.
    ///
    /// # Errors
    /// What is wrong, a line each; nothing has changed.
    pub(crate) fn reload(
        &self,
        gateway: &mut Gateway,
        loaded: &mut Loaded,
    ) -> Result<Reloaded, Vec<String>> {
        let configuration = self.admin.configuration();
        match self.put_in_force(gateway, loaded) {
            Ok(changes) => {
                let generation = configuration.reloaded();
                info!(
                    generation,
                    changes = changes.len(),
                    "configuration reloaded"
                );
                Ok(Reloaded {
                    generation,
                    changes,
                })
            }
            Err(problems) => {
                let text = problems.join("\n");
                let generation = configuration.not_reloaded(text.clone());
                error!(
                    generation,
                    problems = text,
                    "configuration not reloaded, nothing has changed"
                );
                Err(problems)
            }
        }
    }

    fn put_in_force(
        &self,
        gateway: &mut Gateway,
        loaded: &mut Loaded,
    ) -> Result<Vec<ChangedSetting>, Vec<String>> {
        let new = self.inputs.load_checked();
        let new = new.map_err(|problems| lines(&problems))?;
        let config = new.config.clone();
        let access = gateway.api_keys(&config).map_err(line)?;
        let log = config.log.clone();
        let late = late(gateway.config(), &config);
        gateway.reload(config).map_err(line)?;
        self.log.configure(&log);
        self.admin.set_standing(gateway.standing());
        if let Some(access) = access {
            self.admin.set_api_keys(access.keys);
        }
        for setting in late {
            warn!("{setting} takes effect at the next start");
        }
        let changes = loaded.changes(&new);
        *loaded = new;
        Ok(changes)
    }
}

/// What is different and needs a restart.
fn late(now: &Config, new: &Config) -> Vec<&'static str> {
    let late = [
        (now.admin != new.admin, "admin.bind"),
        (now.backplane != new.backplane, "[backplane]"),
        (now.log.format != new.log.format, "log.format"),
        (
            now.api.is_some() != new.api.is_some(),
            "adding or removing [api]",
        ),
    ];
    let late = late.into_iter().filter(|(is_late, _)| *is_late);
    late.map(|(_, setting)| setting).collect()
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.0.iter().map(ToString::to_string).collect()
}

fn line(error: anyhow::Error) -> Vec<String> {
    vec![format!("{error:#}")]
}

//! The gate: what operators set about requests while the deployment runs.
//!
//! One document of the deployment, `gate/main`, switches operations off, changes limits and how long answers are cached, changes
//! fields and headers of requests and answers by rules, and says what is deprecated. Each instance reads it again after a
//! response once it is some seconds old, and before one after a pause; while the store is away the last one holds. A deployment without the document pays a read for that.
//!
//! Beside it, a [`VersionChange`] says how a later version of the API differs from the first: `/v2/…` is `/v1/…`, with the fields of
//! requests and answers changed.

mod config;
mod rules;

use http::Method;
use souk_core::Kind;

use crate::limits::Limit;
use crate::registry::Registry;
use crate::versions::VersionChange;
pub use config::{
    CacheSetting, Changes, ClientMatch, Deprecation, GateConfig, LimitMode, LimitSetting, RouteSetting, Rule,
};
pub(crate) use rules::Plan;

/// The kind of the document.
pub const GATE: Kind = Kind::new("gate", "gate");
/// Its id.
pub const GATE_ID: &str = "main";

/// What is set at the moment.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    config: GateConfig,
    changes: Vec<VersionChange>,
}

impl Gate {
    pub(crate) fn new(config: GateConfig, registry: &Registry) -> Self {
        let changes = registry.changes.clone();
        Self { config, changes }
    }

    /// Whether this is what is set.
    pub(crate) fn is(&self, config: &GateConfig) -> bool {
        self.config == *config
    }

    /// What is set about the operation with this id.
    pub(crate) fn route(&self, id: &str) -> Option<&RouteSetting> {
        self.config.routes.get(id)
    }

    /// The limit as it is set, and whether it only counts; `None` if it is off.
    pub(crate) fn limit(&self, limit: &Limit) -> Option<(Limit, bool)> {
        let Some(set) = self.config.limits.get(limit.name) else {
            return Some((*limit, false));
        };
        let mut tuned = *limit;
        tuned.quota.units = set.units.unwrap_or(tuned.quota.units);
        match set.mode {
            LimitMode::On => Some((tuned, false)),
            LimitMode::Shadow => Some((tuned, true)),
            LimitMode::Off => None,
        }
    }

    /// What is changed of a request and its answer; `None` if nothing is.
    pub(crate) fn plan(&self, method: &Method, path: &str, headers: &http::HeaderMap) -> Option<Plan> {
        Plan::of(&self.config, &self.changes, method, path, headers)
    }
}

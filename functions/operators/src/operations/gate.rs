//! The gate: what operators set about requests; and the registry of functions.

use serde::Serialize;
use souk_core::{Consistency, Key};
use souk_kit::gate::{GATE, GATE_ID, GateConfig};
use souk_kit::registry::FunctionEntry;
use souk_kit::{Context, Failure, Fault, FieldError, IfMatch, MergePatch, Stored};

/// Operations that cannot be switched off: by them operators switch others on again, and hosts know that the process lives.
const NEEDED: [&str; 6] = [
    "checkLiveness",
    "checkReadiness",
    "getGate",
    "refreshSession",
    "signIn",
    "updateGate",
];

/// The settings, and their version: 0 if nothing was ever set.
pub async fn gate(cx: &Context) -> Result<(GateConfig, u64), Failure> {
    let stored: Option<Stored<GateConfig>> = cx.read(GATE.key(GATE_ID)).await?;
    Ok(stored.map_or_else(Default::default, |stored| (stored.value.clone(), stored.version())))
}

/// Changes the settings. They hold in every instance within seconds.
pub async fn change_gate(cx: &Context, if_match: &IfMatch, patch: &MergePatch) -> Result<(GateConfig, u64), Failure> {
    cx.commit(|tx| async move {
        let found: Option<Stored<GateConfig>> = tx.read(GATE.key(GATE_ID)).await?;
        let version = found.as_ref().map_or(0, Stored::version);
        if_match.check(version)?;
        let old = found.as_ref().map(|found| found.value.clone()).unwrap_or_default();
        let new: GateConfig = patch.apply(&old)?;
        check(&tx, &new)?;
        if new == old {
            return Ok((old, version));
        }
        let put = tx.create_or_update(
            GATE.key(GATE_ID),
            found.as_ref().map(|found| &found.document),
            new.clone(),
        );
        put.or_precondition(if_match);
        Ok((new, version.saturating_add(1)))
    })
    .await
}

/// Fails unless the operations and limits exist. What steers the gate itself cannot be switched off.
fn check(cx: &Context, config: &GateConfig) -> Result<(), Failure> {
    let operations = || cx.registry.functions.iter().flat_map(|function| &function.operations);
    let mut errors = Vec::new();
    for (id, set) in &config.routes {
        let field = format!("routes.{id}");
        if !operations().any(|known| known == id) {
            let fault = Fault::not_found("operation").because("there is no operation with this id");
            errors.push(FieldError::new(field, fault));
        } else if !set.enabled && NEEDED.contains(&id.as_str()) {
            let fault = Fault::invalid("cannot be switched off: you could not switch it on again");
            errors.push(FieldError::new(field, fault));
        }
    }
    for name in config
        .limits
        .keys()
        .filter(|name| !cx.registry.limits.contains(name.as_str()))
    {
        let fault = Fault::not_found("limit").because("there is no limit with this name");
        errors.push(FieldError::new(format!("limits.{name}"), fault));
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Failure::Invalid(errors)),
    }
}

/// A function of the deployment.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Function)]
pub struct RegisteredFunction {
    /// The name.
    pub name: &'static str,
    /// What it is for.
    pub summary: &'static str,
    /// The version of the program.
    pub version: &'static str,
    /// The ids of its operations.
    pub operations: Vec<&'static str>,
    /// The names of its jobs.
    pub jobs: Vec<&'static str>,
    /// Whether what it needs answers.
    pub health: Health,
}

/// Whether what a function needs answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FunctionHealth)]
pub enum Health {
    /// It does.
    Ok,
    /// The document store or the search index does not.
    Unavailable,
}

/// All functions, by name.
pub async fn functions(cx: &Context) -> Vec<RegisteredFunction> {
    let ping = cx
        .documents()
        .get(&[Key::of("gate", GATE_ID)], Consistency::Eventual)
        .await;
    let has_store = ping.is_ok();
    let has_index = !cx.index.is_needed() || cx.index.state().await.is_ok();
    let listed = |entry: &FunctionEntry| {
        let is_well = has_store && (has_index || entry.name != "search");
        RegisteredFunction {
            name: entry.name,
            summary: entry.summary,
            version: env!("CARGO_PKG_VERSION"),
            operations: entry.operations.clone(),
            jobs: entry.jobs.clone(),
            health: if is_well { Health::Ok } else { Health::Unavailable },
        }
    };
    let mut all: Vec<_> = cx.registry.functions.iter().map(listed).collect();
    all.sort_by_key(|function| function.name);
    all
}

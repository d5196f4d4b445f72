//! The routes of the gate and the registry.

use http::{Method, StatusCode};
use souk_kit::gate::GateConfig;
use souk_kit::http::{Access, Answer, Problem, Route, Schema, list_whole};
use souk_kit::{Context, IfMatch, MergePatch};

use crate::operations::{self, RegisteredFunction};
use crate::permissions::{GATE_READ, GATE_WRITE};

const MAX_BODY: usize = 64 * 1024;

pub(super) fn routes() -> Vec<Route> {
    let (reader, writer) = (Access::Permission(&GATE_READ), Access::Permission(&GATE_WRITE));
    let gate = || Some(Schema::of::<GateConfig>());
    vec![
        Route::new("getGate", Method::GET, "/v1/gate", reader, show)
            .summary("Get what is set about requests", "Of operations, limits, rules and deprecations.")
            .response(StatusCode::OK, "The settings", gate()),
        Route::new("updateGate", Method::PATCH, "/v1/gate", writer, change)
            .summary(
                "Update what is set about requests",
                "Holds in every instance within seconds, for all markets of the deployment. `null` for an operation or a limit \
                 removes what is set about it.",
            )
            .body(Schema::patch_of::<GateConfig>("UpdateGate"), MAX_BODY)
            .response(StatusCode::OK, "The settings", gate()),
        Route::new("listFunctions", Method::GET, "/v1/registry", reader, list_functions)
            .summary(
                "List the functions",
                "With their operations and jobs, their version, and whether what they need answers.",
            )
            .response(StatusCode::OK, "All functions", Some(Schema::list_of::<RegisteredFunction>())),
    ]
}

async fn show(cx: Context) -> Result<Answer, Problem> {
    let (gate, version) = operations::gate(&cx).await?;
    Ok(Answer::json(&gate)?.version(version))
}

async fn change(cx: Context, if_match: IfMatch, patch: MergePatch) -> Result<Answer, Problem> {
    let (gate, version) = operations::change_gate(&cx, &if_match, &patch).await?;
    Ok(Answer::json(&gate)?.version(version))
}

async fn list_functions(cx: Context) -> Result<Answer, Problem> {
    list_whole(operations::functions(&cx).await)
}

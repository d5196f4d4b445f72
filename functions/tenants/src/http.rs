//! The routes of tenants, plans and host names.

use http::{Method, StatusCode};
use souk_kit::http::{
    Access, Answer, Json, Param, Path, Problem, QueryParams, Route, Schema, list_documents, list_json, list_whole,
};
use souk_kit::jobs::tracked::Tracked;
use souk_kit::tenancy::{Domain, Plan, TenantRecord};
use souk_kit::{Context, IfMatch, MergePatch, PageRequest};

use crate::operations;
use crate::permissions::{
    PLANS_WRITE, TENANTS_ERASE, TENANTS_EXPORT, TENANTS_READ, TENANTS_SUSPEND, TENANTS_WRITE, USAGE_READ,
};
use crate::tenant::{ExportedDocument, NewPlan, NewTenant, Usage};

const MAX_BODY: usize = 16 * 1024;

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = tenants();
    routes.extend(domains());
    routes.extend(plans());
    routes
}

fn tenants() -> Vec<Route> {
    let (reader, writer) = (Access::Permission(&TENANTS_READ), Access::Permission(&TENANTS_WRITE));
    let suspender = Access::Permission(&TENANTS_SUSPEND);
    let tenant = || Some(Schema::of::<TenantRecord>());
    vec![
        Route::new("listTenants", Method::GET, "/v1/tenants", reader, list_tenants)
            .summary("List markets", "Those of this deployment beside the main one, by name.")
            .params(&[Param::LIMIT, Param::CURSOR])
            .response(StatusCode::OK, "A page of markets", Some(Schema::list_of::<TenantRecord>())),
        Route::new("createTenant", Method::POST, "/v1/tenants", writer, create)
            .summary(
                "Create a market",
                "It answers at once at `{name}.` and the domain of the deployment. Names of erased markets stay taken.",
            )
            .body(Schema::of::<NewTenant>(), MAX_BODY)
            .response(StatusCode::CREATED, "The market", tenant())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("getTenant", Method::GET, "/v1/tenants/{name}", reader, show)
            .summary("Get a market", "By its name.")
            .response(StatusCode::OK, "The market", tenant()),
        Route::new("updateTenant", Method::PATCH, "/v1/tenants/{name}", writer, change)
            .summary("Update a market", "Felt everywhere within seconds.")
            .body(Schema::patch_of::<NewTenant>("UpdateTenant").without(&["name", "database"]), MAX_BODY)
            .response(StatusCode::OK, "The market", tenant())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("suspendTenant", Method::POST, "/v1/tenants/{name}/suspend", suspender, suspend)
            .summary(
                "Suspend a market",
                "Every request to it is refused with 403, everywhere within seconds. It loses nothing.",
            )
            .response(StatusCode::OK, "The market", tenant())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("resumeTenant", Method::POST, "/v1/tenants/{name}/resume", suspender, resume)
            .summary("Let a suspended market go on", "It answers again, everywhere within seconds.")
            .response(StatusCode::OK, "The market", tenant())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("eraseTenant", Method::DELETE, "/v1/tenants/{name}", Access::Permission(&TENANTS_ERASE), erase)
            .summary(
                "Erase a suspended market",
                "With all that it has; nothing brings it back. Its host names are free, its name stays taken.",
            )
            .response(StatusCode::ACCEPTED, "The job that removes it", Some(Schema::of::<Tracked>()))
            .errors(&[StatusCode::CONFLICT]),
        Route::new(
            "exportTenant",
            Method::GET,
            "/v1/tenants/{name}/export",
            Access::Permission(&TENANTS_EXPORT),
            export,
        )
        .summary(
            "Export a market",
            "All documents that it has, also secrets, in no particular order. A page may be empty and have a next one. `souk tenants \
             export` writes all pages to a file.",
        )
        .params(&[Param::CURSOR])
        .response(StatusCode::OK, "Some of the documents", Some(Schema::list_of::<ExportedDocument>())),
        Route::new("getTenantUsage", Method::GET, "/v1/tenants/{name}/usage", reader, show_usage_of)
            .summary("Get what a market uses of its plan", "Each quota with what is used and what is allowed.")
            .response(StatusCode::OK, "All quotas", Some(Schema::list_of::<Usage>())),
        Route::new("getUsage", Method::GET, "/v1/usage", Access::Permission(&USAGE_READ), show_usage)
            .summary(
                "Get what this market uses of its plan",
                "Empty for the main market, which has none.",
            )
            .response(StatusCode::OK, "All quotas", Some(Schema::list_of::<Usage>())),
    ]
}

fn domains() -> Vec<Route> {
    let (reader, writer) = (Access::Permission(&TENANTS_READ), Access::Permission(&TENANTS_WRITE));
    let domain = || Some(Schema::of::<Domain>());
    vec![
        Route::new("listTenantDomains", Method::GET, "/v1/tenants/{name}/domains", reader, list_domains)
            .summary("List the host names of a market", "Also those that are not verified yet.")
            .response(StatusCode::OK, "All of them", Some(Schema::list_of::<Domain>())),
        Route::new("addTenantDomain", Method::PUT, "/v1/tenants/{name}/domains/{host}", writer, add_domain)
            .summary(
                "Add a host name to a market",
                "Publish its `proof` in a TXT record at `_souk.` and the host name, then verify it. A market has at most 20.",
            )
            .response(StatusCode::OK, "The host name", domain())
            .errors(&[StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY]),
        Route::new(
            "verifyTenantDomain",
            Method::POST,
            "/v1/tenants/{name}/domains/{host}/verify",
            writer,
            verify_domain,
        )
        .summary(
            "Verify a host name of a market",
            "Looks for the TXT record. Then the host name leads to the market, everywhere within seconds.",
        )
        .response(StatusCode::OK, "The host name", domain())
        .errors(&[StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY]),
        Route::new("removeTenantDomain", Method::DELETE, "/v1/tenants/{name}/domains/{host}", writer, remove_domain)
            .summary(
                "Remove a host name of a market",
                "It leads to the market no longer, everywhere within seconds, and another market may have it.",
            )
            .response(StatusCode::NO_CONTENT, "The host name was removed", None)
            .errors(&[StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY]),
    ]
}

fn plans() -> Vec<Route> {
    let reader = Access::Permission(&TENANTS_READ);
    let plan = || Some(Schema::of::<Plan>());
    vec![
        Route::new("listPlans", Method::GET, "/v1/plans", reader, list_plans)
            .summary("List plans", "By name.")
            .params(&[Param::LIMIT, Param::CURSOR])
            .response(StatusCode::OK, "A page of plans", Some(Schema::list_of::<Plan>())),
        Route::new("getPlan", Method::GET, "/v1/plans/{name}", reader, show_plan)
            .summary("Get a plan", "By its name.")
            .response(StatusCode::OK, "The plan", plan()),
        Route::new(
            "replacePlan",
            Method::PUT,
            "/v1/plans/{name}",
            Access::Permission(&PLANS_WRITE),
            replace_plan,
        )
        .summary(
            "Create or replace a plan",
            "What its markets may have follows everywhere within seconds; they keep what they have.",
        )
        .body(Schema::of::<NewPlan>(), MAX_BODY)
        .response(StatusCode::OK, "The plan", plan())
        .errors(&[StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED]),
    ]
}

async fn list_tenants(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    Ok(list_documents(
        &operations::list_tenants(&cx, &PageRequest::read(&params)?).await?,
    ))
}

async fn create(cx: Context, Json(new): Json<NewTenant>) -> Result<Answer, Problem> {
    let tenant = operations::create_tenant(&cx, new).await?;
    Ok(Answer::document(&tenant.document).created(format!("/v1/tenants/{}", tenant.name.name())))
}

async fn show(cx: Context, Path(name): Path<String>) -> Result<Answer, Problem> {
    Ok(Answer::document(&operations::find_tenant(&cx, &name).await?.document))
}

async fn change(
    cx: Context,
    Path(name): Path<String>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Answer, Problem> {
    Ok(Answer::document(
        &operations::change_tenant(&cx, &name, &if_match, &patch).await?.document,
    ))
}

async fn suspend(cx: Context, Path(name): Path<String>) -> Result<Answer, Problem> {
    Ok(Answer::document(
        &operations::suspend_tenant(&cx, &name).await?.document,
    ))
}

async fn resume(cx: Context, Path(name): Path<String>) -> Result<Answer, Problem> {
    Ok(Answer::document(&operations::resume_tenant(&cx, &name).await?.document))
}

async fn erase(cx: Context, Path(name): Path<String>) -> Result<Answer, Problem> {
    let job = operations::erase_tenant(&cx, &name).await?;
    Ok(Answer::json(&job)?.accepted(format!("/v1/jobs/{}", job.id)))
}

async fn export(cx: Context, Path(name): Path<String>, params: QueryParams) -> Result<Answer, Problem> {
    list_json(&operations::export_tenant(&cx, &name, params.get("cursor")).await?)
}

async fn show_usage_of(cx: Context, Path(name): Path<String>) -> Result<Answer, Problem> {
    list_whole(operations::usage_of(&cx, &name).await?)
}

async fn show_usage(cx: Context) -> Result<Answer, Problem> {
    list_whole(operations::usage(&cx).await?)
}

async fn list_domains(cx: Context, Path(name): Path<String>) -> Result<Answer, Problem> {
    list_whole(operations::list_domains(&cx, &name).await?)
}

async fn add_domain(cx: Context, Path((name, host)): Path<(String, String)>) -> Result<Answer, Problem> {
    Answer::json(&operations::add_domain(&cx, &name, &host).await?)
}

async fn verify_domain(cx: Context, Path((name, host)): Path<(String, String)>) -> Result<Answer, Problem> {
    Answer::json(&operations::verify_domain(&cx, &name, &host).await?)
}

async fn remove_domain(cx: Context, Path((name, host)): Path<(String, String)>) -> Result<Answer, Problem> {
    operations::remove_domain(&cx, &name, &host).await?;
    Ok(Answer::no_content())
}

async fn list_plans(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    Ok(list_documents(
        &operations::list_plans(&cx, &PageRequest::read(&params)?).await?,
    ))
}

async fn show_plan(cx: Context, Path(name): Path<String>) -> Result<Answer, Problem> {
    Ok(Answer::document(&operations::find_plan(&cx, &name).await?.document))
}

async fn replace_plan(
    cx: Context,
    Path(name): Path<String>,
    if_match: IfMatch,
    Json(new): Json<NewPlan>,
) -> Result<Answer, Problem> {
    Ok(Answer::document(
        &operations::replace_plan(&cx, &name, &if_match, new).await?.document,
    ))
}

//! The routes of imports.

use http::{Method, StatusCode};
use serde::Serialize;
use souk_kit::http::{
    Access, Answer, Json, Param, Path, Problem, QueryParams, Raw, Route, Schema, list_documents, list_json,
};
use souk_kit::{By, Context, Fault, Limit, PageRequest};

use crate::import::{Import, ImportLine, MAX_PART, NewImport, Outcome};
use crate::operations;

/// New imports of an account.
const IMPORTS: Limit = Limit::strict("imports", 60, 3_600, By::Client);

const MAX_BODY: usize = 32 * 1024;

const MEMBER: Access = Access::Member;

const ABOUT: &str = "A file of products: NDJSON, CSV or TSV with the columns of this market, Shopify, WooCommerce, Google Merchant (also XML) or \
    Vendure. **With `url`** the import starts at once. **Without** it, send the file in up to 16 parts of at most 256 KB each \
    (`PUT /v1/imports/{id}/parts/{part}`), then `POST /v1/imports/{id}/start`. All records are checked before the first is \
    written. With `dry_run` the import stops there; start it again to write the changes. Poll `GET /v1/imports/{id}` for \
    progress, and read the outcome of each record from `GET /v1/imports/{id}/lines`. Products are published, unless the file \
    has another status. Importing the same file again changes nothing. Missing vendors are created and belong to you; missing \
    categories and attributes are created only with the permission `imports:market`. An account has at most 20 imports; each is kept for \
    two weeks.";

/// An import that does not look as it is stored: it may have stopped.
#[derive(Serialize)]
struct ShownImport {
    #[serde(flatten)]
    import: Import,
    version: u64,
}

pub(crate) fn routes() -> Vec<Route> {
    const LINES: &[Param] = &[
        Param::LIMIT,
        Param::CURSOR,
        Param {
            name: "outcome",
            summary: "Only records with this outcome.",
            schema: r#"{"type":"string","enum":["added","changed","unchanged","left_out"]}"#,
        },
    ];
    let import = || Some(Schema::of::<Import>());
    vec![
        Route::new("listImports", Method::GET, "/v1/imports", MEMBER, list)
            .summary("List my imports", "Newest first.")
            .params(&[Param::LIMIT, Param::CURSOR])
            .response(StatusCode::OK, "A page of imports", Some(Schema::list_of::<Import>())),
        Route::new("createImport", Method::POST, "/v1/imports", MEMBER, create)
            .limited(&IMPORTS)
            .summary("Create an import", ABOUT)
            .body(Schema::of::<NewImport>(), MAX_BODY)
            .response(StatusCode::CREATED, "The import", import())
            .errors(&[StatusCode::CONFLICT, StatusCode::FORBIDDEN]),
        Route::new("getImport", Method::GET, "/v1/imports/{id}", MEMBER, show)
            .summary("Get an import", "With its progress.")
            .response(StatusCode::OK, "The import", import()),
        Route::new("deleteImport", Method::DELETE, "/v1/imports/{id}", MEMBER, delete)
            .summary(
                "Delete an import",
                "A running import stops after at most 25 more records. Products that it has written stay.",
            )
            .response(StatusCode::NO_CONTENT, "The import was deleted", None),
        Route::new("uploadImportPart", Method::PUT, "/v1/imports/{id}/parts/{part}", MEMBER, put_part)
            .summary(
                "Upload a part of the file",
                "Parts are numbered from 1. A file may be split anywhere. Uploading a part again replaces it. The parts are kept \
                 as long as the import.",
            )
            .raw_body(MAX_PART)
            .response(StatusCode::OK, "The import", import())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("startImport", Method::POST, "/v1/imports/{id}/start", MEMBER, start)
            .summary(
                "Start an import",
                "Starts an import whose parts are uploaded, writes the changes that a dry run found, or continues an import that has stopped.",
            )
            .response(StatusCode::ACCEPTED, "The import, which is running", import())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("listImportLines", Method::GET, "/v1/imports/{id}/lines", MEMBER, lines)
            .summary(
                "List the records of an import",
                "With the outcome of each, in the order of the file. A page may be short and still have a `next_cursor`.",
            )
            .params(LINES)
            .response(StatusCode::OK, "A page of records", Some(Schema::list_of::<ImportLine>())),
    ]
}

async fn list(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let page = operations::list_imports(&cx, &PageRequest::read(&params)?).await?;
    Ok(list_documents(&page))
}

async fn create(cx: Context, Json(new): Json<NewImport>) -> Result<Answer, Problem> {
    let import = operations::create_import(&cx, new).await?;
    let location = format!("/v1/imports/{}", import.id);
    Ok(Answer::document(&import.document).created(location))
}

async fn show(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    let import = operations::find_import(&cx, &id).await?;
    let version = import.version();
    let shown = ShownImport {
        import: import.value,
        version,
    };
    Ok(Answer::json(&shown)?.version(version))
}

async fn delete(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    operations::delete_import(&cx, &id).await?;
    Ok(Answer::no_content())
}

async fn put_part(cx: Context, Path((id, part)): Path<(String, String)>, Raw(body): Raw) -> Result<Answer, Problem> {
    let part = part
        .parse()
        .map_err(|_| Problem::bad_parameter("part", Fault::wrong_type("integer")))?;
    let import = operations::put_part(&cx, &id, part, &body).await?;
    Ok(Answer::document(&import.document))
}

async fn start(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    let import = operations::start_import(&cx, &id).await?;
    let location = format!("/v1/imports/{}", import.id);
    Ok(Answer::document(&import.document).accepted(location))
}

async fn lines(cx: Context, Path(id): Path<String>, params: QueryParams) -> Result<Answer, Problem> {
    let outcome = match params.get("outcome") {
        None => None,
        Some(name) => match Outcome::parse(name) {
            Some(outcome) => Some(outcome),
            None => {
                let fault = Fault::not_one_of(&["added", "changed", "unchanged", "left_out"]);
                return Err(Problem::bad_parameter("outcome", fault));
            }
        },
    };
    let page = operations::list_lines(&cx, &id, outcome, &PageRequest::read(&params)?).await?;
    list_json(&page)
}

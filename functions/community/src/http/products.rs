//! Lists of products of the community.

use souk_core::Document;
use souk_kit::http::{Answer, Param, Problem, QueryParams, Selection, list};
use souk_kit::{Context, Failure, SortedPage};
use souk_model::catalog::product::{FIELDS, INCLUDES, REFERENCES, leave_out_variants};

/// The parameters of these lists.
pub(super) const PARAMS: &[Param] = &[Param::LIMIT, Param::CURSOR, Param::FIELDS, INCLUDE];

const INCLUDE: Param = Param {
    name: "include",
    summary: "Expand these ids to objects, separated by commas: `category`, `author`, `vendor`. `viewer` adds what each \
              product is to you.",
    schema: r#"{"type":"array","items":{"type":"string","enum":["category","author","vendor","viewer"]},"example":["category","viewer"]}"#,
};

/// What a client selects of each product.
pub(super) fn selection(params: &QueryParams) -> Result<Selection, Problem> {
    Selection::read(params, FIELDS, INCLUDES)
}

/// A page of products, without their variants unless they are selected.
pub(super) async fn shown(
    cx: &Context,
    selection: &Selection,
    mut page: SortedPage<Document>,
) -> Result<Answer, Problem> {
    if !selection.names("variants") {
        let mut items = page.items.iter_mut();
        items.try_for_each(leave_out_variants).map_err(Failure::from)?;
    }
    let items = selection.render_with(cx, &page.items, &REFERENCES).await?;
    Ok(list(&items, &page))
}

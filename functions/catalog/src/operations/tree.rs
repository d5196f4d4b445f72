//! The tree of categories.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use souk_core::{Document, Query};
use souk_kit::{Context, Failure, Fault, PageRequest, SortedPage};
use souk_model::catalog::CATEGORY;
use souk_model::catalog::category::{Category, INDEX, MAX_DEPTH, children};

/// A category with those below it.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(no_recursion)]
pub struct CategoryNode {
    /// The id.
    id: String,
    /// Unique name for URLs.
    slug: String,
    /// Display name.
    name: String,
    /// Icon: an emoji or the name of an icon.
    #[schema(required = true)]
    icon: Option<String>,
    /// Color, as `#rrggbb`.
    #[schema(required = true)]
    color: Option<String>,
    /// The child categories, by slug.
    children: Vec<CategoryNode>,
}

/// All categories, as a tree; each level is sorted by slug.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CategoryTree {
    /// The categories without a parent.
    items: Vec<CategoryNode>,
}

/// The tree of all categories.
pub async fn category_tree(cx: &Context) -> Result<CategoryTree, Failure> {
    let mut by_parent: HashMap<Option<String>, Vec<Category>> = HashMap::new();
    for document in cx.query_all(INDEX).await? {
        let category: Category = document.parse()?;
        by_parent.entry(category.parent.clone()).or_default().push(category);
    }
    Ok(CategoryTree {
        items: nodes(&mut by_parent, None),
    })
}

/// The nodes below `parent`.
fn nodes(by_parent: &mut HashMap<Option<String>, Vec<Category>>, parent: Option<String>) -> Vec<CategoryNode> {
    let categories = by_parent.remove(&parent).unwrap_or_default();
    let node = |category: Category| CategoryNode {
        children: nodes(by_parent, Some(category.id.clone())),
        id: category.id,
        slug: category.slug,
        name: category.name,
        icon: category.icon,
        color: category.color,
    };
    categories.into_iter().map(node).collect()
}

/// A page of the children of a category, by slug.
pub async fn list_children(cx: &Context, parent: &str, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    let unknown = || Failure::invalid("parent", Fault::not_found("category"));
    let found = cx.resolve(&[(CATEGORY, parent)]).await?.pop().flatten();
    let index = children(&found.ok_or_else(unknown)?);
    cx.list(Query::index(index.clone(), page.limit), page, &index).await
}

/// The ids of the categories below this one, level by level. Most have none, which one query tells; for the others all
/// categories are read, which takes fewer queries than a walk.
pub(super) async fn below(cx: &Context, id: &str) -> Result<Vec<Vec<String>>, Failure> {
    let mut levels = Vec::new();
    if cx.query(&Query::index(children(id), 1)).await?.items.is_empty() {
        return Ok(levels);
    }
    let mut by_parent: HashMap<String, Vec<String>> = HashMap::new();
    for document in cx.query_all(INDEX).await? {
        let Place { id, parent } = document.parse()?;
        if let Some(parent) = parent {
            by_parent.entry(parent).or_default().push(id);
        }
    }
    let mut level = vec![id.to_owned()];
    while levels.len() < MAX_DEPTH {
        level = level
            .iter()
            .flat_map(|id| by_parent.remove(id).unwrap_or_default())
            .collect();
        if level.is_empty() {
            break;
        }
        levels.push(level.clone());
    }
    Ok(levels)
}

/// Where a category is.
#[derive(Deserialize)]
struct Place {
    id: String,
    parent: Option<String>,
}

//! What one writer does, what it knows of it, and how that is held against what is there.

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};

use crate::host::{Api, Reply};

/// One writer: its products are its own, so it knows what each of them should be.
pub(crate) struct Writer {
    pub(crate) api: Api,
    pub(crate) rng: Rng,
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) work: Work,
}

/// What a writer has done when the server died.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) products: Vec<Tracked>,
    /// The creation that was under way.
    pub(crate) unanswered: Option<Creation>,
    pub(crate) acknowledged: usize,
    /// An answer that should not be.
    pub(crate) fault: Option<String>,
}

pub(crate) struct Creation {
    api: Api,
    pub(crate) key: String,
    body: Value,
}

pub(crate) struct Tracked {
    creation: Creation,
    pub(crate) first: Value,
    /// As the last acknowledged write left it: the whole answer, or nothing if it was deleted.
    known: Option<Value>,
    /// The write that was under way.
    pub(crate) doubt: Option<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Publish,
    Rename,
    Delete,
}

impl Writer {
    pub(crate) async fn run(mut self) -> Work {
        while self.one_product().await.is_some() {}
        self.work
    }

    /// One product's life; `None` when the server is gone or has answered what it should not.
    async fn one_product(&mut self) -> Option<()> {
        let title = format!("Crash {}-{}", self.name, self.work.products.len());
        let body = json!({
            "title": title, "category": self.category, "price": { "amount": self.rng.u32(1..10_000), "currency": "EUR" },
            "tags": [format!("tag-{}", self.rng.u8(0..4))], "description": "word ".repeat(self.rng.usize(0..200)),
        });
        let creation = Creation {
            api: self.api.clone(),
            key: format!("create {title}"),
            body,
        };
        let Some(answer) = creation.send().await else {
            self.work.unanswered = Some(creation);
            return None;
        };
        let first = self.acknowledged(answer, 201)?;
        self.work.products.push(Tracked {
            creation,
            known: Some(first.clone()),
            first,
            doubt: None,
        });
        let mut steps = [Step::Publish, Step::Rename];
        self.rng.shuffle(&mut steps);
        let last = if self.rng.u8(0..4) == 0 {
            Some(Step::Delete)
        } else {
            None
        };
        for step in steps.into_iter().take(self.rng.usize(0..=2)).chain(last) {
            let product = self.work.products.last_mut().unwrap();
            product.doubt = Some(step);
            let answer = product.send(&self.api, step).await?;
            let shown = self.acknowledged(answer, if step == Step::Delete { 204 } else { 200 })?;
            let product = self.work.products.last_mut().unwrap();
            product.known = Some(shown).filter(Value::is_object);
            product.doubt = None;
        }
        Some(())
    }

    fn acknowledged(&mut self, answer: Reply, status: u16) -> Option<Value> {
        match answer.expect(status) {
            Ok(shown) => {
                self.work.acknowledged += 1;
                Some(shown)
            }
            Err(fault) => {
                self.work.fault = Some(fault);
                None
            }
        }
    }
}

impl Creation {
    async fn send(&self) -> Option<Reply> {
        self.api
            .send(Method::POST, "/v1/products", Some(&self.key), Some(&self.body))
            .await
    }

    /// Sent again to the server that lives now.
    pub(crate) async fn again(&self, api: &Api) -> Result<(bool, Value), String> {
        let api = self.api.at(api);
        let answer = api
            .send(Method::POST, "/v1/products", Some(&self.key), Some(&self.body))
            .await;
        let answer = answer.ok_or("no answer")?;
        Ok((answer.replayed, answer.expect(201)?))
    }

    /// The slug of this title, which nobody else asks for.
    pub(crate) fn slug(&self) -> String {
        self.body["title"].as_str().unwrap().to_lowercase().replace(' ', "-")
    }
}

impl Tracked {
    fn path(&self) -> String {
        format!("/v1/products/{}", self.first["id"].as_str().unwrap())
    }

    fn new_title(&self) -> String {
        format!("{} renamed", self.first["title"].as_str().unwrap())
    }

    async fn send(&self, api: &Api, step: Step) -> Option<Reply> {
        let (path, key) = (self.path(), format!("publish {}", self.creation.key));
        match step {
            Step::Publish => {
                api.send(Method::POST, &format!("{path}/publish"), Some(&key), None)
                    .await
            }
            Step::Rename => {
                api.send(Method::PATCH, &path, None, Some(&json!({ "title": self.new_title() })))
                    .await
            }
            Step::Delete => api.send(Method::DELETE, &path, None, None).await,
        }
    }

    /// Whether `shown` is what its writer was told last or, if a write was under way, what that one makes of it.
    fn admits(&self, shown: Option<&Value>) -> bool {
        if shown == self.known.as_ref() {
            return true;
        }
        let (Some(step), Some(known)) = (self.doubt, &self.known) else {
            return false;
        };
        let Some(shown) = shown else {
            return step == Step::Delete;
        };
        let mut expected = known.clone();
        // When it happened nobody was told.
        for time in ["updated_at", "published_at"] {
            expected[time] = shown[time].clone();
        }
        match step {
            Step::Publish => expected["status"] = json!("published"),
            Step::Rename => expected["title"] = json!(self.new_title()),
            Step::Delete => return false,
        }
        expected["version"] = json!(known["version"].as_u64().unwrap() + 1);
        *shown == expected
    }

    /// Looks at it in every way; says what it is now.
    pub(crate) async fn check(&self, api: &Api) -> Result<Option<Value>, String> {
        let api = self.creation.api.at(api);
        let shown = api.show(&self.path()).await?;
        if !self.admits(shown.as_ref()) {
            return Err(format!(
                "is {}, was {}, then {:?}",
                json!(shown),
                json!(self.known),
                self.doubt
            ));
        }
        let slug = format!("/v1/products/{}", self.creation.slug());
        if api.show(&slug).await? != shown {
            return Err("shows something else under its slug".into());
        }
        if self.creation.again(&api).await? != (true, self.first.clone()) {
            return Err("is not the answer to a repeat of its creation".into());
        }
        match (shown, self.doubt) {
            (Some(shown), Some(Step::Publish)) => {
                let published = self.send(&api, Step::Publish).await.ok_or("no answer")?.expect(200)?;
                let same = published == shown;
                if published["status"] == "published" && (same || shown["status"] == "draft") {
                    Ok(Some(published))
                } else {
                    Err(format!("a repeat of its publication makes {published} of {shown}"))
                }
            }
            (None, _) => {
                // All of it is gone: another one can have its slug.
                let heir = Creation {
                    api: api.clone(),
                    key: format!("heir {}", self.creation.key),
                    body: self.creation.body.clone(),
                };
                let (_, heir) = heir.again(&api).await?;
                if heir["slug"] == self.first["slug"] {
                    Ok(Some(heir))
                } else {
                    Err("is gone, its slug is not".into())
                }
            }
            (shown, _) => Ok(shown),
        }
    }
}

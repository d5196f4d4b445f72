//! `Mail` over a `send_email` binding.

use async_trait::async_trait;
use serde_json::json;
use souk_core::mail::{Email, Mail, MailError};
use worker::Env;
use worker::js_sys::{Array, Function, JSON, Promise, Reflect};
use worker::send::{SendFuture, SendWrapper};
use worker::wasm_bindgen::{JsCast as _, JsValue};
use worker::wasm_bindgen_futures::JsFuture;

/// A `send_email` binding.
pub struct EmailBinding {
    binding: SendWrapper<JsValue>,
    from: String,
}

impl EmailBinding {
    /// The binding of this name, for mails from the address `from`.
    pub fn open(env: &Env, name: &str, from: &str) -> Result<Self, String> {
        let binding = Reflect::get(env.as_ref(), &name.into()).ok();
        let binding = binding.filter(|binding| binding.is_object());
        Ok(Self {
            binding: SendWrapper::new(binding.ok_or_else(|| format!("{name}: there is no such send_email binding"))?),
            from: from.to_owned(),
        })
    }

    async fn call(&self, message: &str) -> Result<(), JsValue> {
        let send: Function = Reflect::get(&self.binding, &"send".into())?.dyn_into()?;
        // A binding may be a stub, whose methods have no `call` of their own and whose results are no promises of this isolate.
        let arguments = Array::of1(&JSON::parse(message)?);
        let sent = Promise::resolve(&Reflect::apply(&send, &self.binding, &arguments)?);
        JsFuture::from(sent).await.map(|_| ())
    }
}

#[async_trait]
impl Mail for EmailBinding {
    async fn send(&self, email: Email) -> Result<(), MailError> {
        let message = json!({
            "from": self.from,
            "to": email.to,
            "subject": email.subject,
            "text": email.text,
            "html": email.html,
        });
        let message = message.to_string();
        // It does not say whether another attempt would do; a dead letter shows what lasts.
        SendFuture::new(self.call(&message))
            .await
            .map_err(|why| MailError::Unavailable(format!("{why:?}")))
    }
}

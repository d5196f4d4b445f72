//! Inputs: what the OpenAPI document allows, what it forbids, and both with damaged bytes.

use bytes::Bytes;
use fastrand::Rng;
use form_urlencoded::byte_serialize;
use http::{HeaderValue, Method, Request};
use serde_json::{Map, Value, json};

const DOCUMENT: &str = include_str!("../../../functions/ops/assets/openapi.json");
/// How deep a body of a schema that refers to itself becomes.
const MAX_DEPTH: usize = 6;

/// Texts that some program somewhere took for something else.
const TEXTS: &[&str] = &[
    "",
    " ",
    "\u{0}",
    "\n\r\t",
    "'; DROP TABLE documents; --",
    "\" OR \"\"=\"",
    "NEAR(a b, 3) AND title:x*",
    "\"unbalanced",
    "(((((((((",
    "* - ^ : ~ + \\",
    "../../../../etc/passwd",
    "%00%ff%c0%ae",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "null",
    "-1",
    "1e400",
    "0x10",
    "٣٤",
    "NaN",
    "9223372036854775808",
    "2026-02-30T25:61:61Z",
    "9999-12-31T23:59:59.999999999Z",
    "-262143-01-01T00:00:00Z",
    "prd_0123456789abcdef0123456789abcdef",
    "acc_ffffffffffffffffffffffffffffffff",
    "\u{feff}\u{200b}\u{202e}evil",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    "🏳️‍🌈👩‍👩‍👧‍👦",
    "充电器",
    "İıſK",
    "ﷺ",
    "https://user:pass@[::1]:99999/\u{7f}",
    "http://169.254.169.254/",
    "data:text/html,x",
    "W/\"1\", *",
    "lamps",
    "EUR",
];

/// An operation of the document.
pub(crate) struct Operation {
    method: Method,
    path: String,
    parameters: Vec<(String, String)>,
    body: Option<Value>,
}

/// All of them.
pub(crate) fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            let listed = operation["parameters"].as_array().into_iter().flatten();
            let parameters = listed.map(|parameter| {
                let parameter = resolve(&document, parameter);
                let text = |name: &str| parameter[name].as_str().unwrap_or_default().to_owned();
                let family = if parameter["style"] == "deepObject" {
                    ".NAME"
                } else {
                    ""
                };
                (text("in"), text("name") + family)
            });
            let contents = operation["requestBody"]["content"].as_object();
            let schema = contents
                .and_then(|contents| contents.values().next())
                .map(|content| &content["schema"]);
            all.push(Operation {
                method,
                path: path.clone(),
                parameters: parameters.collect(),
                body: schema.map(|schema| inline(&document, schema, 0)),
            });
        }
    }
    assert!(all.len() > 50);
    all
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    target.map_or(schema, |pointer| document.pointer(pointer).unwrap())
}

/// The schema with its references replaced by what they refer to.
fn inline(document: &Value, schema: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return json!({});
    }
    match resolve(document, schema) {
        Value::Object(fields) => {
            let inlined = fields
                .iter()
                .map(|(name, value)| (name.clone(), inline(document, value, depth + 1)));
            Value::Object(inlined.collect())
        }
        Value::Array(items) => items.iter().map(|item| inline(document, item, depth + 1)).collect(),
        value => value.clone(),
    }
}

impl Operation {
    /// A request, unless no client library would send it.
    pub(crate) fn request(&self, rng: &mut Rng, known: &[String], tokens: &[String]) -> Option<Request<Option<Bytes>>> {
        let wild = rng.choice([0, 3, 30]).unwrap();
        let mut source = Source { rng, known, wild };
        let mut path = self.path.clone();
        let mut query = Vec::new();
        let mut headers = Vec::new();
        for (place, name) in &self.parameters {
            match place.as_str() {
                "path" => {
                    let id = source.id(&self.path);
                    path = path.replace(&format!("{{{name}}}"), &encoded(&id, source.rng));
                }
                "query" if source.rng.u8(..4) == 0 => {
                    let name = name.replace("NAME", if source.rng.bool() { "height" } else { "x y" });
                    query.push(format!("{name}={}", encoded(&source.word(), source.rng)));
                }
                "header" if source.rng.u8(..8) == 0 => headers.push((name.to_lowercase(), source.word())),
                _ => {}
            }
        }
        let body = self.body.as_ref().map(|schema| body(&mut source, schema));
        let rng = source.rng;
        // Twice the same, and one that does not exist.
        match rng.u8(..20) {
            0 if !query.is_empty() => query.push(query[0].clone()),
            1 => query.push(format!("{}={}", encoded(text(rng), rng), encoded(text(rng), rng))),
            _ => {}
        }
        let target = if query.is_empty() {
            path
        } else {
            format!("{path}?{}", query.join("&"))
        };
        let mut request = Request::builder().method(self.method.clone()).uri(target);
        if rng.u8(..5) != 0 {
            let token = if rng.u8(..20) == 0 {
                text(rng).to_owned()
            } else {
                rng.choice(tokens).unwrap().clone()
            };
            headers.push(("authorization".into(), format!("Bearer {token}")));
        }
        if body.is_some() {
            let kind = if rng.u8(..30) == 0 {
                text(rng)
            } else {
                "application/json"
            };
            headers.push(("content-type".into(), kind.to_owned()));
        }
        for (name, value) in headers {
            request = request.header(name, HeaderValue::from_str(&value).ok()?);
        }
        request.body(Some(body.map_or_else(Bytes::new, Bytes::from))).ok()
    }
}

/// Where values come from: chance, what is known, and how many of a hundred values are strange.
struct Source<'a> {
    rng: &'a mut Rng,
    known: &'a [String],
    wild: u8,
}

impl Source<'_> {
    fn is_wild(&mut self) -> bool {
        self.rng.u8(..100) < self.wild
    }

    /// The id of something that the path is about.
    fn id(&mut self, path: &str) -> String {
        let prefixes = [
            ("products", "prd"),
            ("categories", "cat"),
            ("vendors", "vnd"),
            ("accounts", "acc"),
            ("webhooks", "whk"),
            ("comments", "cmt"),
        ];
        let segment = path.split('/').nth(2).unwrap_or_default();
        let prefix = prefixes
            .iter()
            .find(|(name, _)| *name == segment)
            .map_or("", |(_, prefix)| prefix);
        let fitting: Vec<&String> = self.known.iter().filter(|known| known.starts_with(prefix)).collect();
        match self.rng.choice(&fitting) {
            Some(id) if !self.is_wild() => (*id).clone(),
            _ => self.word(),
        }
    }

    /// Something known or something strange, short or long.
    fn word(&mut self) -> String {
        if !self.is_wild() {
            return match self.rng.bool() {
                true => self.rng.choice(self.known).unwrap().clone(),
                false => format!("Word {}", self.rng.u32(..10_000)),
            };
        }
        match self.rng.u8(..10) {
            0..7 => text(self.rng).to_owned(),
            7 => self.rng.i64(..).to_string(),
            8 => text(self.rng).repeat(self.rng.usize(1..200)),
            _ => self.rng.choice(self.known).unwrap().clone(),
        }
    }
}

fn text(rng: &mut Rng) -> &'static str {
    rng.choice(TEXTS).unwrap()
}

/// The text as part of a URL, mostly encoded as it should be.
fn encoded(text: &str, rng: &mut Rng) -> String {
    let encoded: String = byte_serialize(text.as_bytes()).collect();
    if rng.u8(..20) == 0 {
        encoded.replace('%', "%%2")
    } else {
        encoded
    }
}

/// A body of this schema, or almost.
fn body(source: &mut Source, schema: &Value) -> Vec<u8> {
    let mut bytes = value(source, schema).to_string().into_bytes();
    let rng = &mut *source.rng;
    if source.wild == 0 {
        return bytes;
    }
    match rng.u8(..20) {
        0..3 => damage(rng, &mut bytes),
        3 => {
            let depth = rng.usize(1..20_000);
            bytes = [vec![b'['; depth], bytes].concat();
        }
        4 => {
            // The same field twice.
            if let Some(end) = bytes.iter().rposition(|byte| *byte == b'}') {
                let again = format!(",\"title\":{},\"title\":1e999", json!(text(rng)));
                bytes.splice(end..end, again.into_bytes());
            }
        }
        _ => {}
    }
    bytes
}

/// Removes, repeats, swaps and overwrites some bytes.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        match rng.u8(..5) {
            0 => bytes.truncate(at),
            1 => bytes[at] = rng.u8(..),
            2 => bytes.insert(at, *rng.choice(b"{}[],:\"\\\x00\xff\xc0e9-.").unwrap()),
            3 => drop(bytes.drain(at..(at + rng.usize(..20)).min(bytes.len()))),
            _ => {
                let piece = bytes[at..(at + rng.usize(..50)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece.repeat(rng.usize(1..20)));
            }
        }
    }
}

/// A value of the schema, or a strange one.
fn value(source: &mut Source, schema: &Value) -> Value {
    if source.is_wild() {
        return strange(source.rng);
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let chosen = source.rng.choice(choices).unwrap();
            return value(source, chosen);
        }
    }
    for fixed in ["example", "default"] {
        if !schema[fixed].is_null() && source.rng.u8(..4) == 0 {
            return schema[fixed].clone();
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        return source.rng.choice(values).unwrap().clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => source.rng.choice(kinds).unwrap().as_str(),
        kind => kind.as_str(),
    };
    let rng = &mut *source.rng;
    match kind {
        Some("object") => object(source, schema),
        Some("array") => {
            let count = if rng.u8(..50) == 0 { 500 } else { rng.usize(..3) };
            (0..count).map(|_| value(source, &schema["items"])).collect()
        }
        Some("integer") => json!(rng.choice([0, 1, 5, 100, 4900, -1, i64::MAX, i64::MIN]).unwrap()),
        Some("number") => json!(rng.choice([0.0, 1.5, -0.0, 1e308, 5e-324, 12.5]).unwrap()),
        Some("boolean") => json!(rng.bool()),
        Some("null") => Value::Null,
        _ => match schema["format"].as_str() {
            Some("date-time") => json!("2026-11-29T12:00:00Z"),
            Some("email") => json!(format!("{}@hostile.test", rng.u32(..))),
            _ => json!(source.word()),
        },
    }
}

fn object(source: &mut Source, schema: &Value) -> Value {
    let mut fields = Map::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let is_required = schema["required"]
            .as_array()
            .is_some_and(|names| names.contains(&json!(name)));
        let is_left_out = if is_required {
            source.is_wild()
        } else {
            source.rng.u8(..4) != 0
        };
        if is_left_out {
            continue;
        }
        // What is looked up has to be there.
        let value = match name.as_str() {
            "category" if !source.is_wild() => json!("lamps"),
            "currency" if !source.is_wild() => json!("EUR"),
            "amount" if !source.is_wild() => json!(4_900),
            "slug" | "sku" | "vendor" | "parent" if !source.is_wild() => continue,
            "url" if !source.is_wild() => json!("https://hooks.example.com/in"),
            "events" if !source.is_wild() => json!(["*"]),
            _ => value(source, field),
        };
        fields.insert(name.clone(), value);
    }
    if source.wild > 0 && source.rng.u8(..20) == 0 {
        fields.insert(text(source.rng).to_owned(), strange(source.rng));
    }
    Value::Object(fields)
}

fn strange(rng: &mut Rng) -> Value {
    match rng.u8(..9) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(rng.f64() * 1e300),
        3 => json!(u64::MAX),
        4 => json!([]),
        5 => json!({}),
        6 => json!({ text(rng): [strange(rng), strange(rng)] }),
        7 => json!(text(rng).repeat(rng.usize(1..300))),
        _ => json!(text(rng)),
    }
}

/// A line of an import file.
pub(crate) fn import_line(rng: &mut Rng, n: u64) -> Vec<u8> {
    let known = ["Lamps".to_owned(), "Lantern & Co".to_owned(), format!("sku-{n}")];
    let wild = rng.choice([0, 3, 30]).unwrap();
    let mut source = Source {
        rng,
        known: &known,
        wild,
    };
    let text = json!({ "type": "string" });
    let currency = json!({ "enum": ["EUR", "USD", "JPY", "XXX", "eur"] });
    let price = json!({ "type": "object", "required": ["amount", "currency"], "properties": { "amount": { "type": "integer" }, "currency": currency } });
    let mut fields = Map::new();
    for (name, schema) in [
        ("title", &text),
        ("category", &text),
        ("vendor", &text),
        ("price", &price),
        ("sku", &text),
        ("slug", &text),
        ("description", &text),
        ("status", &json!({ "enum": ["draft", "published", "sold", "archived"] })),
        ("tags", &json!({ "type": "array", "items": text })),
        ("attributes", &json!({ "type": "object" })),
        ("cover", &text),
        ("gallery", &json!({ "type": "array", "items": text })),
        ("url", &text),
        ("condition", &json!({ "enum": ["new", "used"] })),
        ("location", &json!({ "type": "object" })),
    ] {
        let is_common = matches!(name, "title" | "category" | "vendor" | "price");
        if is_common || source.rng.u8(..10) < 2 {
            fields.insert(name.into(), value(&mut source, schema));
        }
    }
    let mut bytes = Value::Object(fields).to_string().into_bytes();
    if rng.u8(..10) == 0 {
        damage(rng, &mut bytes);
    }
    bytes.retain(|byte| *byte != b'\n');
    bytes
}

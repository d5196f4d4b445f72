//! The local host: every function in one binary, with SQLite instead of cloud services. See `souk --help`.

mod audit;
mod backup;
mod compute;
mod connection;
mod data;
mod demo;
mod export;
mod import;
mod jobs;
mod log;
mod operator;
mod overload;
#[cfg(feature = "testing")]
mod power_loss;
mod search;
mod server;
mod tenants;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use souk_catalog::formats::{Format, Reading, Writing};
use souk_core::access::BUILT_IN;

/// A request makes a few dozen small allocations, which cost less with this allocator than with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A marketplace backend that runs at the edge; this is its local host
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(clap::Args)]
struct Serve {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    #[command(flatten)]
    data: Data,
    /// Add the demo market. Without this it is added to a new folder, if the server listens on this machine only
    #[arg(long)]
    demo: bool,
    /// Start empty instead of with the demo market
    #[arg(long, conflicts_with = "demo")]
    no_demo: bool,
    /// Origin of pages that may call from a browser, beside those of SOUK_CORS_ORIGINS; may be repeated. With the demo, and if
    /// the server listens on this machine only, pages of this machine may: http://localhost:* and http://127.0.0.1:*
    #[arg(long, value_name = "ORIGIN")]
    cors: Vec<String>,
}

#[derive(clap::Args)]
struct Data {
    /// Folder of the databases and the keys; created if it does not exist
    #[arg(long = "data", value_name = "DIR", default_value = ".souk")]
    dir: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (the default)
    Serve(Serve),
    /// Add generated products; the same seed gives the same products
    Seed {
        /// Number of products
        #[arg(long, value_name = "N", default_value_t = 200)]
        products: u32,
        /// Seed of the random generator
        #[arg(long, value_name = "S", default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        data: Data,
    },
    /// Add products from a file; a second run changes nothing
    Import {
        /// One JSON object per line, as the API has products, with title, category, price (amount in minor units, currency), and
        /// optionally sku, gtin, slug, description, vendor, tags, url, compare_at_price, weight (in grams), options, variants, condition, cover, gallery, attributes, location,
        /// status (published, if it has none); or a table (CSV, TSV) with such columns, and attr.NAME and option.NAME; or an export of Shopify or WooCommerce, a Google Merchant feed (table
        /// or XML), or an import file of Vendure
        file: PathBuf,
        /// The format, if the columns do not tell: ndjson, plain, shopify, woocommerce, google, vendure
        #[arg(long, value_parser = |name: &str| Format::parse(name).ok_or("is not a format"))]
        format: Option<Format>,
        /// A column that has another name than ours; may be repeated
        #[arg(long, value_name = "COLUMN=FIELD", value_parser = pair)]
        map: Vec<(String, String)>,
        /// Currency of prices that name none, such as EUR
        #[arg(long)]
        currency: Option<String>,
        /// Prices are written as 1.234,56
        #[arg(long)]
        decimal_comma: bool,
        /// Category of products without one
        #[arg(long, value_name = "NAME")]
        category: Option<String>,
        /// Vendor of products without one
        #[arg(long, value_name = "NAME")]
        vendor: Option<String>,
        /// Username of the author of new products, who owns new vendors
        #[arg(long, value_name = "USERNAME")]
        author: Option<String>,
        /// URL of each product in the old shop, which then leads to the product here: a column, or a rule such as
        /// /products/{handle} with names of columns
        #[arg(long, value_name = "COLUMN|RULE")]
        redirects: Option<String>,
        /// Write nothing, and say what would be added, changed and left out
        #[arg(long)]
        dry_run: bool,
        /// Also add and change products of vendors that belong to other accounts
        #[arg(long)]
        adopt: bool,
        #[command(flatten)]
        data: Data,
    },
    /// Write all products as `import` and other systems read them, and say what the format has no place for
    Export {
        /// File to write; the standard output by default
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// ndjson: one JSON object per line, with everything; shopify: the product CSV of Shopify; google: a Google Merchant feed
        /// (XML) of what is published
        #[arg(long, default_value = "ndjson", value_parser = written_format)]
        format: Format,
        /// Write only products with prices in this currency. Shopify's CSV has one, that of the first product by default
        #[arg(long)]
        currency: Option<String>,
        /// URL of the pages of products, which end with their slugs: the links of products without a URL in the feed; products/
        /// under SOUK_PUBLIC_URL by default
        #[arg(long, value_name = "URL")]
        pages: Option<String>,
        #[command(flatten)]
        data: Data,
    },
    /// Copy the market to a new folder, also while a server runs on it
    Backup {
        /// The folder of the backup
        to: PathBuf,
        /// Include the signing keys. Keep such a backup secret: the keys can sign in as any account
        #[arg(long)]
        keys: bool,
        #[command(flatten)]
        data: Data,
    },
    /// Copy a backup to a new data folder
    Restore {
        /// The folder of the backup
        from: PathBuf,
        #[command(flatten)]
        data: Data,
    },
    /// Check the databases for damage
    Check {
        #[command(flatten)]
        data: Data,
    },
    /// Show the ids of the signing keys
    Keys {
        /// Add a new signing key; the old ones still verify
        #[arg(long)]
        rotate: bool,
        /// Print a new key for SOUK_SIGNING_KEY of a cloud host, and store nothing
        #[arg(long, conflicts_with = "rotate")]
        generate: bool,
        #[command(flatten)]
        data: Data,
    },
    /// Give an account a role
    Grant {
        /// The account's username, or its email address once it is verified
        login: String,
        /// admin, moderator, support or operator; member takes all roles away
        #[arg(value_parser = role)]
        role: String,
        #[command(flatten)]
        data: Data,
    },
    /// Check the audit log, or export it as NDJSON
    Audit {
        #[arg(value_enum)]
        action: audit::Action,
        /// What was exported before, from the first record on, to check in the place of the folder's log
        file: Option<PathBuf>,
        #[command(flatten)]
        data: Data,
    },
    /// List the markets of the deployment, export one, or erase a suspended one
    Tenants {
        #[arg(value_enum)]
        action: tenants::Action,
        /// The name of the market
        name: Option<String>,
        /// File to write; the standard output by default
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        data: Data,
    },
    /// Show the lanes of background work and their dead letters; replay or discard dead letters
    Jobs {
        #[arg(value_enum, default_value = "show")]
        action: operator::Action,
        /// high, default, notifications or low; all by default
        #[arg(value_parser = operator::lane)]
        lane: Option<souk_core::Lane>,
        /// The id of a dead letter; all by default
        id: Option<String>,
        /// Refresh every second, until Ctrl-C
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        data: Data,
    },
    /// Rebuild the search index, also while a server runs on the folder
    Search {
        #[arg(value_enum)]
        action: search::Action,
        #[command(flatten)]
        data: Data,
    },
    /// Print the OpenAPI description of the API
    Openapi {
        /// The version of the API: 1 or 2
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
        api: u8,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    #[cfg(feature = "testing")]
    power_loss::install();
    // Everything that is written may hold secrets or personal data: databases, logs, exports.
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "souk: {why}");
            ExitCode::FAILURE
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (column, field) = text.split_once('=').ok_or("must be COLUMN=FIELD")?;
    Ok((column.to_owned(), field.to_owned()))
}

fn written_format(name: &str) -> Result<Format, String> {
    let format = Format::parse(name).filter(|format| Format::WRITTEN.contains(format));
    format.ok_or_else(|| format!("must be one of {}", Format::WRITTEN.map(Format::name).join(", ")))
}

async fn run(cli: Cli) -> Result<(), String> {
    let out = |text: String| writeln!(std::io::stdout(), "{text}").map_err(|e| e.to_string());
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(serve) => {
            if serve.demo && !demo::may_open(&serve.data.dir) {
                return Err(format!(
                    "the demo needs a folder without a market: {} has one",
                    serve.data.dir.display()
                ));
            }
            let by_itself = !serve.no_demo && serve.listen.ip().is_loopback() && demo::may_open(&serve.data.dir);
            let demo = serve.demo || by_itself;
            let mut cors = serve.cors;
            if demo && serve.listen.ip().is_loopback() {
                cors.extend(["http://localhost:*", "http://127.0.0.1:*"].map(str::to_owned));
            }
            server::serve(serve.listen, &serve.data.dir, demo, &cors).await
        }
        Command::Seed { products, seed, data } => {
            let market = data::open(&data.dir)?;
            search::ensure(&market.context()).await;
            let added = demo::seed(&market.context(), products, seed, data::bar(u64::from(products))).await?;
            jobs::finish(&market, data::spinner("processing queued jobs")).await?;
            out(format!(
                "{added} products added, {} existed already",
                u64::from(products) - added
            ))
        }
        Command::Import {
            file,
            format,
            map,
            currency,
            decimal_comma,
            category,
            vendor,
            author,
            redirects,
            dry_run,
            adopt,
            data,
        } => {
            let market = data::open(&data.dir)?;
            search::ensure(&market.context()).await;
            let how = import::How {
                reading: Reading {
                    format,
                    columns: map,
                    currency,
                    decimal_comma,
                    category,
                    vendor,
                    redirects,
                },
                adopt,
                dry_run,
                author,
            };
            let report = import::import(&market.context(), &file, &how).await?;
            jobs::finish(&market, data::spinner("processing queued jobs")).await?;
            out(report.to_string())?;
            match report.left_out {
                0 => Ok(()),
                some => Err(format!("{some} lines were not imported")),
            }
        }
        Command::Export {
            output,
            format,
            currency,
            pages,
            data,
        } => {
            let cx = data::open_existing(&data.dir)?.context();
            let how = Writing {
                currency,
                pages: pages.unwrap_or_else(|| format!("{}/products", cx.settings.public_url)),
            };
            let written = export::export_as(&cx, output.as_deref(), format, &how).await?;
            let mut report = written.notes;
            report.push(format!("{} products", written.products));
            writeln!(std::io::stderr(), "{}", report.join("\n")).map_err(|e| e.to_string())
        }
        Command::Backup { to, keys, data } => out(backup::backup(&data.dir, &to, keys)?),
        Command::Restore { from, data } => out(backup::restore(&from, &data.dir)?),
        Command::Check { data } => out(backup::check(&data.dir)?),
        Command::Keys { generate: true, .. } => out(souk_kit::Keys::generate(&souk_sqlite::SystemRandom)),
        Command::Keys { rotate, data, .. } => {
            let keys = data::keys(&data.dir, rotate)?;
            keys.ids()
                .enumerate()
                .try_for_each(|(n, id)| out(format!("{id}  {}", if n == 0 { "signs" } else { "verifies" })))
        }
        Command::Grant { login, role, data } => {
            let given = Some(role.as_str()).filter(|role| *role != MEMBER);
            let found =
                souk_identity::operations::grant_role(&data::open_existing(&data.dir)?.context(), &login, given)
                    .await
                    .map_err(|e| e.to_string())?;
            if found {
                out(format!("{login}: {role}"))
            } else {
                Err(format!("no account has the name {login}, or it as a verified address"))
            }
        }
        Command::Audit { action, file, data } => out(audit::run(action, file.as_deref(), &data.dir).await?),
        Command::Tenants {
            action,
            name,
            output,
            data,
        } => out(tenants::run(&data.dir, action, name.as_deref(), output.as_deref()).await?),
        Command::Jobs {
            action,
            lane,
            id,
            watch,
            data,
        } => operator::run(&data::open_existing(&data.dir)?, action, lane, id.as_deref(), watch).await,
        Command::Search { action, data } => out(search::run(&data::open_existing(&data.dir)?.context(), action).await?),
        Command::Openapi { api } => {
            let document = match api {
                2 => souk_market::openapi_of_version_2(),
                _ => souk_market::openapi(),
            };
            out(serde_json::to_string_pretty(&document).map_err(|e| e.to_string())?)
        }
    }
}

/// Who has no role.
const MEMBER: &str = "member";

/// The name of a built-in role, or of none.
fn role(text: &str) -> Result<String, String> {
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).chain([MEMBER]).collect();
    match names.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("must be one of {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}

//! For the Lambda service, where `infra/lambda-build` takes this linker: puts the code that runs at the start of a function
//! side by side, so that the kernel reads and holds that instead of nearly all; and what is the same twice, once.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=start.ld");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    if env::var("RUSTC_LINKER").is_ok_and(|linker| linker.ends_with("rust-lld")) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("start.ld");
        println!("cargo::rustc-link-arg-bins=-T{}", script.display());
        println!("cargo::rustc-link-arg-bins=--icf=all");
    }
}

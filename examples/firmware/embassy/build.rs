//! Tells the linker where the device has its memory, as `device` does, and uses the linker script of cortex-m-rt.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo:rustc-link-search={folder}/../device");
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    // Functions that come to the same instructions are one.
    println!("cargo:rustc-link-arg-bins=--icf=all");
    println!("cargo:rerun-if-changed=../device/memory.x");
    println!("cargo:rerun-if-changed=build.rs");
}

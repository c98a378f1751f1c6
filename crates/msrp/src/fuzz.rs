//! The bodies of the fuzz targets in `fuzz/`; no part of the API.

mod assembly;
mod content;
mod digest;
mod parser;
mod registration;
mod relay;
mod sdp;
mod uri;

pub use assembly::assembly;
pub use content::{cpim, imdn};
pub use digest::digest;
pub use parser::parser;
pub use registration::registration;
pub use relay::relay;
pub use sdp::sdp;
pub use uri::uri;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// What once broke a target must not break it again.
    #[test]
    fn r65_regressions() {
        type Body = fn(&[u8]);
        let targets: [(&str, Body); 1] = [("imdn", super::imdn)];
        for (name, body) in targets {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(name);
            let files: Vec<_> = fs::read_dir(&folder).expect("the folder is there").collect();
            assert!(!files.is_empty(), "no regressions of {name}");
            for file in files {
                body(&fs::read(file.expect("it can be listed").path()).expect("it can be read"));
            }
        }
    }
}

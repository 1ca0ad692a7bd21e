//! Makes the agent link's types from its protobuf definition, where the feature asks for them.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "link")]
    tonic_prost_build::configure()
        .codec_path("crate::link::Codec")
        // Which features this crate has depends on who else is built; a constructor of that name would stand beside our call.
        .build_transport(false)
        // They may hold secrets.
        .skip_debug([".clusterctl.link.v1.Command", ".clusterctl.link.v1.CommandLine"])
        .compile_protos(&["proto/link.proto"], &["proto"])?;
    println!("cargo::rerun-if-changed=proto/link.proto");
    Ok(())
}

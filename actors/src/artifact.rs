//! Artifacts: file contents kept by the server, addressed by SHA-256.

//! Who may do what: bearer tokens, their hashes and roles.

//! Reads the packs that MMH-RS V1 wrote.

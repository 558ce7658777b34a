//! The bundle that OpenSSF Model Signing 1.0 reads: a Sigstore bundle (v0.3) with a DSSE envelope around an in-toto statement,
//! signed with ECDSA P-256 and SHA-256. Nonces are those of RFC 6979, so the same key and folder give the same bytes.

use crate::folder::{LEFT_OUT, Listed};
use crate::{PublicKey, SecretKey, SignError, Statement, hex};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{DerSignature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const PAYLOAD: &str = "application/vnd.in-toto+json";

/// The bundle's text.
pub(crate) fn bundle(
    key: &SecretKey,
    name: &str,
    files: &[Listed],
    statement: &Statement,
) -> Result<String, SignError> {
    let payload = payload(name, files, statement).to_string().into_bytes();
    let signature: DerSignature = key.p256()?.sign(&envelope(&payload));
    let hint = hex::encode(&Sha256::digest(key.public()?.pem().as_bytes()));
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": { "publicKey": { "hint": hint }, "tlogEntries": [] },
        "dsseEnvelope": {
            "payload": STANDARD.encode(&payload),
            "payloadType": PAYLOAD,
            "signatures": [{ "sig": STANDARD.encode(signature.as_bytes()), "keyid": "" }],
        },
    });
    Ok(format!("{bundle}\n"))
}

/// What is wrong with a bundle: its signature, or what it says of the folder.
pub(crate) fn fault(
    bytes: &[u8],
    key: &PublicKey,
    files: &[Listed],
    statement: &Statement,
) -> Option<String> {
    let bundle: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let text = |pointer: &str| {
        bundle
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let decoded = |pointer: &str| STANDARD.decode(text(pointer)).unwrap_or_default();
    let payload = decoded("/dsseEnvelope/payload");
    let signature = DerSignature::from_bytes(&decoded("/dsseEnvelope/signatures/0/sig"));
    let verifying = VerifyingKey::from_public_key_pem(key.pem());
    let signed = match (signature, verifying) {
        (Ok(signature), Ok(key)) => key.verify(&envelope(&payload), &signature).is_ok(),
        _ => false,
    };
    if !signed || text("/dsseEnvelope/payloadType") != PAYLOAD {
        return Some("its signature is not one of this key".to_owned());
    }
    let said: Value = serde_json::from_slice(&payload).unwrap_or(Value::Null);
    // The folder may have been renamed since.
    let name = said
        .pointer("/subject/0/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    (said != self::payload(name, files, statement))
        .then(|| "it vouches for other files than are here".to_owned())
}

/// The in-toto statement: every file's SHA-256 in the order of path components, and the run's facts beside them.
fn payload(name: &str, files: &[Listed], statement: &Statement) -> Value {
    let mut files: Vec<&Listed> = files.iter().collect();
    files.sort_by(|a, b| a.name.split('/').cmp(b.name.split('/')));
    let mut root = Sha256::new();
    let mut resources = Vec::new();
    for file in files {
        root.update(file.sha256);
        resources.push(json!({ "name": file.name, "algorithm": "sha256", "digest": hex::encode(&file.sha256) }));
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": name, "digest": { "sha256": hex::encode(&root.finalize()) } }],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": false,
                "ignore_paths": LEFT_OUT,
            },
            "resources": resources,
            "mmh": {
                "model_hash": statement.model_hash,
                "recipe_hash": statement.recipe_hash,
                "plan_hash": statement.plan_hash,
                "data_hash": statement.data_hash,
                "seed": statement.seed,
                "journal": statement.journal,
                "policy": statement.policy,
            },
        },
    })
}

/// DSSE's encoding of what is signed.
pub(crate) fn envelope(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

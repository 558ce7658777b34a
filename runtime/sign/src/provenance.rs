//! SLSA provenance (v1) of a run: an in-toto statement (v1) of how the model came to be, in a DSSE envelope signed with Ed25519 and
//! ECDSA P-256. The same folder and key give the same bytes.
//!
//! A training is a build: its subject is the model, its external parameters are the recipe's hash and the seed, its resolved
//! dependencies are recipe, plan, data, base models and parents, its byproduct is the journal. Sources:
//! <https://slsa.dev/spec/v1.0/provenance>, <https://github.com/in-toto/attestation/tree/main/spec/v1>,
//! <https://github.com/secure-systems-lab/dsse>.

use crate::described::moment;
use crate::folder::{Listed, Signed};
use crate::openssf::{PAYLOAD, envelope};
use crate::{PublicKey, SecretKey, SignError, hex};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::ed25519::signature::Signer;
use p256::ecdsa::DerSignature;
use p256::ecdsa::signature::Verifier;
use p256::pkcs8::DecodePublicKey;
use serde_json::{Map, Value, json};

/// The kind of build.
const BUILD: &str = "urn:mmh:training:1";
/// Who builds.
const BUILDER: &str = "urn:mmh:mmhc";

/// The statement.
pub(crate) fn statement(facts: &Signed, files: &[Listed]) -> Value {
    let about = &facts.described;
    let mut resolved: Vec<Value> = ["recipe.mmh", "plan", "mmh.lock"]
        .iter()
        .filter_map(|name| descriptor(files, name))
        .collect();
    resolved.extend(about.data.iter().map(|file| {
        json!({
            "name": file.path,
            "digest": { "blake3": file.blake3 },
            "annotations": { "set": file.set, "rows": file.rows },
        })
    }));
    resolved.extend(about.bases.iter().map(|base| {
        let mut digest = Map::new();
        digest.insert("blake3".into(), json!(base.blake3));
        if let Some(model) = &base.model_hash {
            digest.insert("mmhModelHash".into(), json!(bare(model)));
        }
        if let Some(head) = &base.head {
            digest.insert("mmhJournalHead".into(), json!(head));
        }
        json!({
            "name": base.path,
            "digest": digest,
            "annotations": { "baseModelOf": base.training },
        })
    }));
    resolved.extend(about.parents.iter().map(|(head, model)| {
        let mut digest = Map::new();
        digest.insert("mmhJournalHead".into(), json!(head));
        if let Some(model) = model {
            digest.insert("mmhModelHash".into(), json!(bare(model)));
        }
        json!({ "name": "parent", "digest": digest })
    }));
    let mut metadata = Map::new();
    metadata.insert("invocationId".into(), json!(facts.journal.hash));
    for (name, at) in [("startedOn", about.began), ("finishedOn", about.ended)] {
        if let Some(text) = at.and_then(moment) {
            metadata.insert(name.into(), json!(text));
        }
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject(facts, files),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": {
                    "recipe_hash": facts.recipe_hash,
                    "plan_hash": facts.plan_hash,
                    "data_hash": facts.data_hash,
                    "seed": facts.seed,
                },
                "internalParameters": {
                    "numerics_edition": about.edition,
                    "steps": facts.steps,
                    "device": about.device,
                },
                "resolvedDependencies": resolved,
            },
            "runDetails": {
                "builder": { "id": BUILDER, "version": { "mmhc": about.version } },
                "metadata": metadata,
                "byproducts": descriptor(files, "journal").into_iter().collect::<Vec<_>>(),
            },
        },
    })
}

/// The model's file, with the hash of its parameters alone beside the hashes of its bytes.
fn subject(facts: &Signed, files: &[Listed]) -> Vec<Value> {
    let mut subject = Vec::new();
    for name in ["model.safetensors", "metrics.json"] {
        if let Some(mut file) = descriptor(files, name) {
            if name == "model.safetensors"
                && let Some(digest) = file.get_mut("digest").and_then(Value::as_object_mut)
            {
                digest.insert("mmhModelHash".into(), json!(bare(&facts.model_hash)));
            }
            subject.push(file);
        }
    }
    subject
}

fn descriptor(files: &[Listed], name: &str) -> Option<Value> {
    let file = files.iter().find(|file| file.name == name)?;
    Some(json!({
        "name": name,
        "digest": { "sha256": hex::encode(&file.sha256), "blake3": file.blake3 },
    }))
}

fn bare(hash: &str) -> &str {
    hash.strip_prefix("blake3:").unwrap_or(hash)
}

/// The envelope's text.
pub(crate) fn signed(
    key: &SecretKey,
    facts: &Signed,
    files: &[Listed],
) -> Result<String, SignError> {
    let payload = statement(facts, files).to_string().into_bytes();
    let message = envelope(&payload);
    let id = key.public()?.id();
    let ed25519 = key.ed25519().sign(&message).to_bytes();
    let p256: DerSignature = key.p256()?.sign(&message);
    let document = json!({
        "payload": STANDARD.encode(&payload),
        "payloadType": PAYLOAD,
        "signatures": [
            { "keyid": format!("{id}:ed25519"), "sig": STANDARD.encode(ed25519) },
            { "keyid": format!("{id}:p256"), "sig": STANDARD.encode(p256.as_bytes()) },
        ],
    });
    Ok(format!("{document:#}\n"))
}

/// What is wrong with an envelope.
pub(crate) fn fault(
    bytes: &[u8],
    key: &PublicKey,
    facts: &Signed,
    files: &[Listed],
) -> Option<String> {
    let document: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let text = |pointer: &str| {
        document
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let decoded = |pointer: &str| STANDARD.decode(text(pointer)).unwrap_or_default();
    let payload = decoded("/payload");
    let message = envelope(&payload);
    let ed25519 = decoded("/signatures/0/sig");
    let p256 = DerSignature::from_bytes(&decoded("/signatures/1/sig"));
    let first = key.verify_ed25519(&message, &ed25519);
    let second = match (
        p256,
        p256::ecdsa::VerifyingKey::from_public_key_pem(key.pem()),
    ) {
        (Ok(signature), Ok(key)) => key.verify(&message, &signature).is_ok(),
        _ => false,
    };
    if !first || !second || text("/payloadType") != PAYLOAD {
        return Some("its signatures are not those of this key".to_owned());
    }
    (payload != statement(facts, files).to_string().into_bytes())
        .then(|| "it tells of another run than is here".to_owned())
}

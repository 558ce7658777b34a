//! The bill of materials of a model: CycloneDX 1.6 with a model card and its data sets. Source:
//! <https://cyclonedx.org/docs/1.6/json/>. The same folder gives the same bytes.

use crate::described::{BaseModel, DataFile, moment};
use crate::folder::{Listed, Signed};
use crate::hex;
use serde_json::{Map, Value, json};

/// Parameters that the card names one by one, at most.
const MOST_NAMED: usize = 200;

/// The document's text.
pub(crate) fn bom(facts: &Signed, files: &[Listed]) -> String {
    let about = &facts.described;
    let mut metadata = Map::new();
    if let Some(text) = about.ended.and_then(moment) {
        metadata.insert("timestamp".into(), json!(text));
    }
    let mut tool = json!({ "type": "application", "name": "mmhc" });
    if let Some(tool) = tool.as_object_mut().filter(|_| !about.version.is_empty()) {
        tool.insert("version".into(), json!(about.version));
    }
    metadata.insert("tools".into(), json!({ "components": [tool] }));
    metadata.insert("component".into(), model(facts, files));
    let data: Vec<Value> = about
        .data
        .iter()
        .enumerate()
        .map(|(at, file)| data(at, file))
        .collect();
    let depends: Vec<String> = (0..about.data.len()).map(reference).collect();
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(&facts.journal.hash),
        "version": 1,
        "metadata": metadata,
        "components": data,
        "dependencies": [{ "ref": "model", "dependsOn": depends }],
    });
    format!("{document:#}\n")
}

/// A number of its own for each run: a UUID (version 8) of the journal's last hash.
fn serial(head: &str) -> String {
    let hash = blake3::derive_key("mmh bom serial 1", head.as_bytes());
    let mut digits: Vec<char> = hex::encode(&hash).chars().take(32).collect();
    for (place, digit) in [(12, '8'), (16, '8')] {
        if let Some(there) = digits.get_mut(place) {
            *there = digit;
        }
    }
    let digits: String = digits.into_iter().collect();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

fn model(facts: &Signed, files: &[Listed]) -> Value {
    let about = &facts.described;
    let file = files.iter().find(|file| file.name == "model.safetensors");
    let hashes = file.map_or(json!([]), |file| {
        json!([
            { "alg": "SHA-256", "content": hex::encode(&file.sha256) },
            { "alg": "BLAKE3", "content": file.blake3 },
        ])
    });
    let digits = facts.model_hash.strip_prefix("blake3:");
    let version: String = digits
        .unwrap_or(&facts.model_hash)
        .chars()
        .take(16)
        .collect();
    let mut model = json!({
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": about.model,
        "version": version,
        "hashes": hashes,
        "modelCard": card(facts),
        "properties": properties(facts),
    });
    let bases: Vec<Value> = about.bases.iter().map(base).collect();
    if let Some(fields) = model.as_object_mut().filter(|_| !bases.is_empty()) {
        fields.insert("pedigree".into(), json!({ "ancestors": bases }));
    }
    model
}

/// A model that this one began with.
fn base(base: &BaseModel) -> Value {
    let mut properties = vec![json!({ "name": "mmh:training", "value": base.training })];
    for (name, value) in [
        ("mmh:model_hash", &base.model_hash),
        ("mmh:journal_head", &base.head),
    ] {
        properties.extend(
            value
                .iter()
                .map(|value| json!({ "name": name, "value": value })),
        );
    }
    json!({
        "type": "machine-learning-model",
        "name": base.path,
        "hashes": [{ "alg": "BLAKE3", "content": base.blake3 }],
        "properties": properties,
    })
}

fn card(facts: &Signed) -> Value {
    let about = &facts.described;
    let datasets: Vec<Value> = (0..about.data.len())
        .map(|at| json!({ "ref": reference(at) }))
        .collect();
    let mut named: Vec<String> = about
        .parameters
        .iter()
        .take(MOST_NAMED)
        .map(|(path, ty)| format!("{path}: {ty}"))
        .collect();
    if about.parameters.len() > MOST_NAMED {
        named.push(format!("and {} more", about.parameters.len() - MOST_NAMED));
    }
    let inputs: Vec<Value> = about
        .inputs
        .iter()
        .map(|input| json!({ "format": input }))
        .collect();
    let metrics: Vec<Value> = about
        .metrics
        .iter()
        .map(|it| {
            json!({
                "type": it.name,
                "value": it.value.to_string(),
                "slice": format!("{} ({})", it.part, it.section),
            })
        })
        .collect();
    json!({
        "modelParameters": {
            "modelArchitecture": format!("{} parameters: {}", about.elements, named.join("; ")),
            "datasets": datasets,
            "inputs": inputs,
        },
        "quantitativeAnalysis": { "performanceMetrics": metrics },
        "considerations": {
            "technicalLimitations": [
                "The card says what the run recorded, and nothing of what the model is fit for."
            ],
        },
    })
}

/// What only mmhc has a word for.
fn properties(facts: &Signed) -> Vec<Value> {
    let about = &facts.described;
    let mut all = vec![
        ("mmh:model_hash", facts.model_hash.clone()),
        ("mmh:recipe_hash", facts.recipe_hash.clone()),
        ("mmh:plan_hash", facts.plan_hash.clone()),
        ("mmh:data_hash", facts.data_hash.clone()),
        ("mmh:seed", facts.seed.clone()),
        ("mmh:steps", facts.steps.to_string()),
        ("mmh:journal_head", facts.journal.hash.clone()),
        ("mmh:journal_lines", facts.journal.lines.to_string()),
        ("mmh:numerics_edition", about.edition.to_string()),
    ];
    all.extend(facts.trails.iter().map(|trail| {
        (
            "mmh:states_root",
            format!("{} {}", trail.training, trail.root),
        )
    }));
    all.extend(
        about
            .parents
            .iter()
            .map(|(head, _)| ("mmh:parent_head", head.clone())),
    );
    let property = |(name, value): (&str, String)| json!({ "name": name, "value": value });
    all.into_iter().map(property).collect()
}

fn data(at: usize, file: &DataFile) -> Value {
    json!({
        "type": "data",
        "bom-ref": reference(at),
        "name": file.path,
        "hashes": [{ "alg": "BLAKE3", "content": file.blake3 }],
        "data": [{ "type": "dataset", "name": file.set }],
        "properties": [{ "name": "mmh:rows_of_the_set", "value": file.rows.to_string() }],
    })
}

fn reference(at: usize) -> String {
    format!("data-{at}")
}

"""Reads a signed run folder's provenance and bill of materials with the libraries of in-toto and CycloneDX.

    provenance.py FOLDER PUBLIC_KEY.pem
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement

folder, key = (pathlib.Path(argument) for argument in sys.argv[1:])
model = (folder / "model.safetensors").read_bytes()

text = (folder / "signatures/bom.json").read_text()
wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
assert wrong is None, wrong
bom = Bom.from_json(json.loads(text))
component = bom.metadata.component
assert component.type.value == "machine-learning-model", component
digests = {it.alg.value: it.content for it in component.hashes}
assert digests["SHA-256"] == hashlib.sha256(model).hexdigest(), digests
card = json.loads(text)["metadata"]["component"]["modelCard"]
assert card["quantitativeAnalysis"]["performanceMetrics"], card
assert len(bom.components) == len(card["modelParameters"]["datasets"]) > 0

envelope = json.loads((folder / "signatures/provenance.json").read_text())
payload = base64.b64decode(envelope["payload"])
kind = envelope["payloadType"].encode()
message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
public = serialization.load_pem_public_key(key.read_bytes())
[signature] = [it["sig"] for it in envelope["signatures"] if it["keyid"].endswith(":p256")]
public.verify(base64.b64decode(signature), message, ec.ECDSA(hashes.SHA256()))

document = json.loads(payload)
assert document["predicateType"] == "https://slsa.dev/provenance/v1"
statement = Statement([], document["predicateType"], {})
json_format.ParseDict(document, statement.pb)
statement.validate()
provenance = json_format.ParseDict(document["predicate"], Provenance())
assert provenance.build_definition.build_type and provenance.run_details.builder.id
assert len(provenance.build_definition.resolved_dependencies) >= 3
[subject] = [it for it in statement.pb.subject if it.name == "model.safetensors"]
assert subject.digest["sha256"] == hashlib.sha256(model).hexdigest()
print("all is well")

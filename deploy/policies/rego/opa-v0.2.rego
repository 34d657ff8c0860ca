# tekseal-policy render rego-opa --key example/cosign.pub --provenance v0.2 --builder-id https://tekton.dev/chains/v2 --build-type tekton.dev/v1/PipelineRun --build-type tekton.dev/v1/TaskRun --source-repository https://git.example.com/team/app
package tekseal

import rego.v1

default allow := false

allow if {
  count(input) > 0
  every image in input {
    accepted(image)
  }
}

accepted(image) if {
  image.checked.signature == true
  image.checked.subject == true
  some signature in image.signatures
  ours(signature)
  attested(image)
}

ours(found) if {
  found.key == "SHA256:SjFOyNUc4siLKelXfcdJzt85M9icUgP1ZZgFLrRPsUo"
}

provenance_types := {"https://slsa.dev/provenance/v0.2"}

provenance(image) := [attestation |
  some attestation in image.attestations
  ours(attestation)
  provenance_types[attestation.predicateType]
]

attested(image) if {
  count(provenance(image)) > 0
  every attestation in provenance(image) {
    satisfies(attestation.statement)
  }
}

satisfies(statement) if {
  statement.predicateType == "https://slsa.dev/provenance/v0.2"
  builder_ids[statement.predicate.builder.id]
  build_types[statement.predicate.buildType]
  objects(statement.predicate.materials)
  source_uris[statement.predicate.materials[_].uri]
}

builder_ids := {"https://tekton.dev/chains/v2"}

build_types := {"tekton.dev/v1/PipelineRun", "tekton.dev/v1/TaskRun"}

source_uris := {"git+https://git.example.com/team/app.git", "git+https://git.example.com/team/app", "https://git.example.com/team/app.git", "https://git.example.com/team/app"}

objects(list) if {
  is_array(list)
  count([item | item := list[_]; is_object(item)]) == count(list)
}

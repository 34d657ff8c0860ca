# tekseal-policy render rego-opa --certificate-identity https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/tekton-chains-controller --certificate-oidc-issuer https://oidc.example.com --provenance v1 --builder-id https://tekton.dev/chains/v2 --build-type https://tekton.dev/chains/v2/slsa --build-type https://tekton.dev/chains/v2/slsa-tekton --source-repository https://git.example.com/team/app
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
  image.checked.transparencyLog == true
  some signature in image.signatures
  ours(signature)
  attested(image)
}

ours(found) if {
  found.identity == "https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/tekton-chains-controller"
  found.issuer == "https://oidc.example.com"
}

provenance_types := {"https://slsa.dev/provenance/v1"}

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
  statement.predicateType == "https://slsa.dev/provenance/v1"
  builder_ids[statement.predicate.runDetails.builder.id]
  build_types[statement.predicate.buildDefinition.buildType]
  objects(statement.predicate.buildDefinition.resolvedDependencies)
  source_uris[statement.predicate.buildDefinition.resolvedDependencies[_].uri]
}

builder_ids := {"https://tekton.dev/chains/v2"}

build_types := {"https://tekton.dev/chains/v2/slsa", "https://tekton.dev/chains/v2/slsa-tekton"}

source_uris := {"git+https://git.example.com/team/app.git", "git+https://git.example.com/team/app", "https://git.example.com/team/app.git", "https://git.example.com/team/app"}

objects(list) if {
  is_array(list)
  count([item | item := list[_]; is_object(item)]) == count(list)
}

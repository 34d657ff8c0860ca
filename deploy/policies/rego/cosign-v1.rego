# tekseal-policy render rego-cosign --provenance v1 --builder-id https://tekton.dev/chains/v2 --build-type https://tekton.dev/chains/v2/slsa --build-type https://tekton.dev/chains/v2/slsa-tekton --source-repository https://git.example.com/team/app
package signature

default allow = false

allow {
  satisfies(input)
}

satisfies(statement) {
  statement.predicateType == "https://slsa.dev/provenance/v1"
  builder_ids[statement.predicate.runDetails.builder.id]
  build_types[statement.predicate.buildDefinition.buildType]
  objects(statement.predicate.buildDefinition.resolvedDependencies)
  source_uris[statement.predicate.buildDefinition.resolvedDependencies[_].uri]
}

builder_ids := {"https://tekton.dev/chains/v2"}

build_types := {"https://tekton.dev/chains/v2/slsa", "https://tekton.dev/chains/v2/slsa-tekton"}

source_uris := {"git+https://git.example.com/team/app.git", "git+https://git.example.com/team/app", "https://git.example.com/team/app.git", "https://git.example.com/team/app"}

objects(list) {
  is_array(list)
  count([item | item := list[_]; is_object(item)]) == count(list)
}

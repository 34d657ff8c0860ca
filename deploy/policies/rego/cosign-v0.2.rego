# tekseal-policy render rego-cosign --provenance v0.2 --builder-id https://tekton.dev/chains/v2 --build-type tekton.dev/v1/PipelineRun --build-type tekton.dev/v1/TaskRun --source-repository https://git.example.com/team/app
package signature

default allow = false

allow {
  satisfies(input)
}

satisfies(statement) {
  statement.predicateType == "https://slsa.dev/provenance/v0.2"
  builder_ids[statement.predicate.builder.id]
  build_types[statement.predicate.buildType]
  objects(statement.predicate.materials)
  source_uris[statement.predicate.materials[_].uri]
}

builder_ids := {"https://tekton.dev/chains/v2"}

build_types := {"tekton.dev/v1/PipelineRun", "tekton.dev/v1/TaskRun"}

source_uris := {"git+https://git.example.com/team/app.git", "git+https://git.example.com/team/app", "https://git.example.com/team/app.git", "https://git.example.com/team/app"}

objects(list) {
  is_array(list)
  count([item | item := list[_]; is_object(item)]) == count(list)
}

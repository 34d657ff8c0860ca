module tekseal.invalid/policies/policyjson-check

go 1.26.0

require github.com/containers/image/v5 v5.36.2

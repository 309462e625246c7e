module ekslab.dev/kubectl

go 1.24

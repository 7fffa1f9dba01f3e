"""What kube-proxy itself expects and writes, held against what svcc compiles and proves."""

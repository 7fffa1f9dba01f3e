"""Which Pods a Service selects, as the EndpointSlices that a cluster would make of them."""

"""What runs beside a run: boards, rules, manifests, and the tools that bring them up."""

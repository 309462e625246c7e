"""moto, embedded: every AWS service that is not ours, made so that its calls can be replayed."""

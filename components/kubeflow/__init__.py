"""The steps as Kubeflow components and a pipeline."""

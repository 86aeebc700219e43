from django.db import migrations, models


class Migration(migrations.Migration):
    """Makes no table: it is for the permissions."""

    initial = True
    dependencies: list[tuple[str, str]] = []
    operations = [
        migrations.CreateModel(
            name="UserSession",
            fields=[("id", models.CharField(max_length=64, primary_key=True, serialize=False))],
            options={"verbose_name": "user session", "verbose_name_plural": "user sessions", "managed": False,
                     "default_permissions": ("view", "delete")},
        ),
    ]
